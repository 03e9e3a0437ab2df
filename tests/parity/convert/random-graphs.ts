/** GraphModels of random operators in random order, the same for a seed: layouts meet here that no table pairs. */
import { GraphWriter } from './graph-writer.js';
import { normals } from './parity.js';
import { picker, type Pick } from './random-networks.js';

/** A tensor of the graph in the making; its first extent, the batch, is −1. */
interface Made { readonly name: string; readonly shape: readonly number[] }
type Step = () => Made;

const activations = ['Relu', 'Relu6', 'Elu', 'Sigmoid', 'Tanh'] as const;
const conv = { dilations: [1, 1, 1, 1], data_format: 'NHWC' };

/** Operators that take any tensor. */
function anywhere(w: GraphWriter, pick: Pick, x: Made): Step[] {
  const { shape } = x;
  const rank = shape.length;
  const axis = pick(Array.from({ length: rank - 1 }, (_, index) => index + 1));
  const same = (op: string, inputs: readonly string[] = [x.name], attributes = {}): Made => ({ name: w.node(op, inputs, attributes), shape });
  const with_ = (at: number, extent: number): number[] => shape.map((own, index) => (index === at ? extent : own));
  // Shapes that broadcast to this one: trailing extents, some of them 1.
  const broadcast = (): string => w.positive(...shape.slice(pick([1, rank - 1, Math.max(1, rank - 2)])).map((extent) => pick([extent, extent, 1])));
  const other = (): string => w.node(pick(activations), [x.name]);
  const extent = shape[axis]!;
  return [
    () => same(pick([...activations, 'Neg', 'Abs', 'Softplus', 'Erf', 'Selu'])),
    () => same('Softmax', [w.node('Tanh', [x.name])]),
    () => same(pick(['AddV2', 'Sub', 'Mul', 'RealDiv', 'Maximum', 'Minimum', 'SquaredDifference']), [x.name, broadcast()]),
    () => same(pick(['Sub', 'Maximum']), [broadcast(), x.name]),
    () => same(pick(['AddV2', 'Mul', 'Minimum']), [x.name, other()]),
    () => same('SelectV2', [w.node('Greater', [x.name, broadcast()]), other(), broadcast()]),
    () => same('AddV2', [x.name, w.node(pick(['Mean', 'Max']), [x.name, w.ints(axis)], { keep_dims: true })]),
    () => same('ReverseV2', [x.name, w.ints(axis)]),
    () => same('Cumsum', [w.node('Tanh', [x.name]), w.int(axis)], { exclusive: pick([true, false]), reverse: false }),
    () => (extent > 12 ? x : { name: w.node('ConcatV2', [x.name, other(), w.int(pick([axis, axis - rank]))]), shape: with_(axis, 2 * extent) }),
    () => (extent > 12 ? x : { name: w.node('Tile', [x.name, w.ints(...shape.map((_, index) => (index === axis ? 2 : 1)))]), shape: with_(axis, 2 * extent) }),
    () => ({ name: w.node('Pad', [x.name, w.constant(Int32Array.from(shape.flatMap((_, index) => (index === axis ? [1, 2] : [0, 0]))), [rank, 2])]), shape: with_(axis, extent + 3) }),
    () => ({ name: w.node('GatherV2', [x.name, w.ints(extent - 1, 0, 0), w.int(axis)]), shape: with_(axis, 3) }),
    () => (extent < 3 ? x : { name: `${w.node('SplitV', [x.name, w.ints(1, extent - 1), w.int(axis)], { num_split: 2 })}:1`, shape: with_(axis, extent - 1) }),
    () => (extent < 3 ? x : { name: w.node('Slice', [x.name, w.ints(...shape.map((_, index) => (index === axis ? 1 : 0))), w.ints(...with_(axis, extent - 1))]), shape: with_(axis, extent - 1) }),
    () => transposed(w, pick, x),
  ];
}

const permutations = (count: number): readonly number[][] => (count === 1 ? [[0]] : count === 2 ? [[1, 0]] : [[1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]]);

/** A Transpose with the extents that come of it. */
function transposed(w: GraphWriter, pick: Pick, x: Made): Made {
  const order = [0, ...pick(permutations(x.shape.length - 1)).map((at) => at + 1)];
  return { name: w.node('Transpose', [x.name, w.ints(...order)]), shape: order.map((at) => x.shape[at]!) };
}

/** Operators on images [N, rows, columns, channels]. */
function onImages(w: GraphWriter, pick: Pick, x: Made): Step[] {
  const [, h, wide, c] = x.shape as [number, number, number, number];
  const padding = pick(['SAME', 'VALID']);
  const size = Math.min(pick([1, 2, 3]), h, wide);
  const stride = pick([1, 1, 2]);
  const attributes = { ...conv, padding, strides: [1, stride, stride, 1] };
  const after = (extent: number): number => (padding === 'SAME' ? Math.ceil(extent / stride) : Math.floor((extent - size) / stride) + 1);
  const image = (name: string, channels: number): Made => ({ name, shape: [-1, after(h), after(wide), channels] });
  const kernel = (...shape: number[]): string => w.constant(normals(shape.reduce((a, b) => a * b)).map((value) => value / Math.sqrt(size * size * c)), shape);
  const pooled = w.node('Mean', [x.name, w.ints(1, 2)], { keep_dims: false });
  return [
    () => image(w.node('Conv2D', [x.name, kernel(size, size, c, 5)], attributes), 5),
    () => image(w.node('_FusedConv2D', [x.name, kernel(size, size, c, 3), w.random(3)], { ...attributes, fused_ops: ['BiasAdd', pick(activations.filter((name) => name !== 'Tanh'))], num_args: 1 }), 3),
    () => image(w.node('DepthwiseConv2dNative', [x.name, kernel(size, size, c, 1)], attributes), c),
    () => image(w.node(pick(['MaxPool', 'AvgPool']), [x.name], { ...attributes, ksize: [1, size, size, 1] }), c),
    () => ({ name: w.node('FusedBatchNormV3', [x.name, w.positive(c), w.random(c), w.random(c), w.positive(c)], { epsilon: { f: 0.01 }, is_training: false }), shape: x.shape }),
    () => ({ name: w.node('BiasAdd', [x.name, w.random(c)]), shape: x.shape }),
    () => (h * wide > 150 ? x : { name: w.node('ResizeNearestNeighbor', [x.name, w.ints(2 * h, 3 * wide)]), shape: [-1, 2 * h, 3 * wide, c] }),
    () => ({ name: w.node('ResizeBilinear', [x.name, w.ints(10, 7)], { half_pixel_centers: pick([true, false]) }), shape: [-1, 10, 7, c] }),
    () => ({ name: w.node('Mul', [x.name, w.node('Sigmoid', [w.node('Tanh', [w.node('Reshape', [pooled, w.ints(-1, 1, 1, c)])])])]), shape: x.shape }),
    () => ({ name: w.node('AddV2', [x.name, w.node('ExpandDims', [w.node('ExpandDims', [pooled, w.int(1)]), w.int(1)])]), shape: x.shape }),
    () => ({ name: w.node('Reshape', [x.name, w.ints(-1, h * wide, c)]), shape: [-1, h * wide, c] }),
    () => ({ name: w.node('Reshape', [x.name, w.ints(-1, wide, h, c)]), shape: [-1, wide, h, c] }),
    () => ({ name: pooled, shape: [-1, c] }),
    () => ({ name: w.node('Max', [x.name, w.ints(2)], { keep_dims: false }), shape: [-1, h, c] }),
  ];
}

/** Operators on sequences [N, steps, channels]. */
function onSequences(w: GraphWriter, x: Made): Step[] {
  const [, t, c] = x.shape as [number, number, number];
  const bounded = w.node('Tanh', [x.name]);
  return [
    () => ({ name: w.node('BatchMatMulV2', [bounded, w.node('Sigmoid', [x.name])], { adj_y: true }), shape: [-1, t, t] }),
    () => ({ name: w.node('BatchMatMulV2', [w.node('Softmax', [w.node('BatchMatMulV2', [bounded, bounded], { adj_y: true })]), x.name]), shape: [-1, t, c] }),
    () => ({ name: w.node('ExpandDims', [x.name, w.int(2)]), shape: [-1, t, 1, c] }),
    () => ({ name: w.node('Pack', [x.name, bounded], { axis: 1 }), shape: [-1, 2, t, c] }),
    () => ({ name: w.node('Sum', [bounded, w.ints(1)], { keep_dims: false }), shape: [-1, c] }),
  ];
}

/** Operators on rows [N, channels]. */
function onRows(w: GraphWriter, x: Made): Step[] {
  const c = x.shape[1]!;
  return [
    () => ({ name: w.node('MatMul', [x.name, w.constant(normals(c * 6).map((value) => value / Math.sqrt(c)), [c, 6])]), shape: [-1, 6] }),
    () => ({ name: w.node('Reshape', [x.name, w.ints(-1, 1, c)]), shape: [-1, 1, c] }),
    () => ({ name: w.node('Mul', [w.node('Reshape', [x.name, w.ints(-1, 1, 1, c)]), w.positive(3, 2, 1)]), shape: [-1, 3, 2, c] }),
  ];
}

/** A graph of three to eight random operators on an image; outputs: what they come to, and a product of all of it. */
export function randomGraph(seed: number): GraphWriter {
  const pick = picker(seed + 1000);
  const w = new GraphWriter();
  const shape = [-1, pick([5, 8, 9]), pick([6, 7]), pick([1, 3, 4])];
  let x: Made = { name: w.input('x', shape), shape };
  for (let depth = pick([3, 4, 5, 6, 7, 8]); depth > 0; depth--) {
    const rank = x.shape.length;
    const own = rank === 4 ? onImages(w, pick, x) : rank === 3 ? onSequences(w, x) : onRows(w, x);
    x = pick([...own, ...own, ...anywhere(w, pick, x)])();
  }
  const count = x.shape.slice(1).reduce((a, b) => a * b, 1);
  w.output('last', w.node('Identity', [x.name]));
  w.output('product', w.node('MatMul', [w.node('Reshape', [x.name, w.ints(-1, count)]), w.constant(normals(count * 3).map((value) => value / Math.sqrt(count)), [count, 3])]));
  return w;
}
