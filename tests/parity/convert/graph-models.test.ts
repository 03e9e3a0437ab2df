/** GraphModels against tfjs: operators, whole classifiers, quantised weights, bad input. */
import { convertGraphModel } from '@ratioflow/export';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { expectGraphParity, GraphWriter } from './graph-writer.js';
import { normals, operators } from './parity.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const image = [-1, 8, 9, 4];

/** A graph of one input and one chain of nodes. */
function graphOf(build: (writer: GraphWriter, x: string) => string, shape: readonly number[] = image): GraphWriter {
  const writer = new GraphWriter();
  writer.output('y', build(writer, writer.input('x', shape)));
  return writer;
}

const paddings = ['SAME', 'VALID'];
const conv = { strides: [1, 1, 1, 1], dilations: [1, 1, 1, 1], data_format: 'NHWC' };

describe('convolution and pooling', () => {
  it.each(paddings.flatMap((padding) => [1, 2].map((stride) => ({ padding, stride }))))('%j', async ({ padding, stride }) => {
    const attributes = { ...conv, padding, strides: [1, stride, stride, 1] };
    for (const size of [2, 3]) {
      expect(operators(await expectGraphParity(tf, graphOf((w, x) => w.node('Conv2D', [x, w.random(size, size, 4, 5)], attributes))))).toEqual(['Conv']);
      await expectGraphParity(tf, graphOf((w, x) => w.node('DepthwiseConv2dNative', [x, w.random(size, size, 4, 2)], attributes)));
      for (const op of ['MaxPool', 'AvgPool']) await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x], { ...attributes, ksize: [1, size, size, 1] })));
      await expectGraphParity(tf, graphOf((w, x) => w.node('Conv2DBackpropInput', [w.ints(2, 8 * stride, 9 * stride, 3), w.random(size, size, 3, 4), x], { ...attributes, padding: 'SAME' }), [2, 8, 9, 4]));
    }
  });
  it('dilation, explicit padding, fused tails', async () => {
    await expectGraphParity(tf, graphOf((w, x) => w.node('Conv2D', [x, w.random(3, 3, 4, 5)], { ...conv, padding: 'SAME', dilations: [1, 2, 2, 1] })));
    await expectGraphParity(tf, graphOf((w, x) => w.node('Conv2D', [x, w.random(3, 3, 4, 5)], { ...conv, padding: 'EXPLICIT', explicit_paddings: [0, 0, 1, 0, 2, 1, 0, 0] })));
    for (const activation of ['Relu', 'Relu6', 'Elu', 'Sigmoid']) {
      const attributes = { ...conv, padding: 'SAME', fused_ops: ['BiasAdd', activation], num_args: 1 };
      await expectGraphParity(tf, graphOf((w, x) => w.node('_FusedConv2D', [x, w.random(3, 3, 4, 5), w.random(5)], attributes)));
      await expectGraphParity(tf, graphOf((w, x) => w.node('FusedDepthwiseConv2dNative', [x, w.random(3, 3, 4, 1), w.random(4)], attributes)));
      await expectGraphParity(tf, graphOf((w, x) => w.node('_FusedMatMul', [x, w.random(6, 5), w.random(5)], { fused_ops: ['BiasAdd', activation], num_args: 1 }), [-1, 6]));
    }
    // Of a normalisation that was written out, the optimizer leaves a bias with all its axes.
    const bias = normals(5);
    await expectGraphParity(tf, graphOf((w, x) => w.node('_FusedConv2D', [x, w.random(3, 3, 4, 5), w.constant(bias, [1, 1, 1, 5])], { ...conv, padding: 'SAME', fused_ops: ['BiasAdd', 'Relu'], num_args: 1 })));
    await expectGraphParity(tf, graphOf((w, x) => w.node('_FusedConv2D', [x, w.random(3, 3, 4, 5), w.random(5), w.random(5)], { ...conv, padding: 'SAME', fused_ops: ['BiasAdd', 'Prelu'], num_args: 2 })));
  });
  it('batch normalisation', async () => {
    const graph = graphOf((w, x) => w.node('FusedBatchNormV3', [x, w.positive(4), w.random(4), w.random(4), w.positive(4)], { epsilon: { f: 0.01 }, is_training: false }));
    expect(operators(await expectGraphParity(tf, graph))).toEqual(['BatchNormalization']);
  });
});

describe('elementwise', () => {
  it.each(['Abs', 'Ceil', 'Cos', 'Elu', 'Erf', 'Exp', 'Floor', 'LeakyRelu', 'Neg', 'Reciprocal', 'Relu', 'Relu6', 'Round', 'Selu', 'Sigmoid', 'Sign', 'Sin', 'Softmax', 'LogSoftmax', 'Softplus', 'Square', 'Tanh'])('%s', async (op) => {
    expect(operators(await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x], op === 'LeakyRelu' ? { alpha: { f: 0.3 } } : {}))))).not.toContain('Transpose');
  });
  it.each(['Log', 'Log1p', 'Rsqrt', 'Sqrt'])('%s of positive numbers', async (op) => {
    await expectGraphParity(tf, graphOf((w, x) => w.node(op, [w.node('Abs', [x])])));
  });
  it.each(['Add', 'AddV2', 'Sub', 'Mul', 'RealDiv', 'Maximum', 'Minimum', 'SquaredDifference', 'BiasAdd', 'Prelu'])('%s with broadcast constants', async (op) => {
    const shapes = op === 'BiasAdd' ? [[4]] : [[4], [9, 1], [8, 1, 4], [1, 8, 9, 4], [1, 1, 1, 4], [1]];
    for (const shape of shapes) expect(operators(await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x, w.positive(...shape)]))))).not.toContain('Transpose');
    if (op !== 'BiasAdd' && op !== 'Prelu') await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x, w.node('Exp', [x])])));
  });
  it('comparison, selection, sums, clipping, casts', async () => {
    await expectGraphParity(tf, graphOf((w, x) => w.node('SelectV2', [w.node('Greater', [x, w.random(4)]), x, w.node('Neg', [x])])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('AddN', [x, x, w.node('Exp', [x])])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('ClipByValue', [x, w.constant(Float32Array.of(-0.5), []), w.constant(Float32Array.of(0.7), [])])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('Cast', [w.node('Cast', [x], { DstT: { type: 'DT_INT32' } })], { DstT: { type: 'DT_FLOAT' } })));
  });
  it.each(['Asinh', 'Atan', 'Cosh', 'Expm1', 'Sinh', 'Tan', 'ZerosLike', 'OnesLike'])('%s', async (op) => {
    await expectGraphParity(tf, graphOf((w, x) => w.node('Sub', [w.node(op, [x]), x])));
  });
  it.each(['Acos', 'Asin', 'Atanh'])('%s between -1 and 1', async (op) => {
    await expectGraphParity(tf, graphOf((w, x) => w.node(op, [w.node('Sin', [x])])));
  });
  it('division and comparison with awkward operands', async () => {
    const zeros = (w: GraphWriter): string => w.constant(Float32Array.of(0, 2, -3, 0.5), [4]);
    await expectGraphParity(tf, graphOf((w, x) => w.node('DivNoNan', [x, zeros(w)])));
    for (const op of ['FloorDiv', 'FloorMod']) await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x, w.constant(Float32Array.of(0.7, 2, -3, 0.5), [4])])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('SelectV2', [w.node('NotEqual', [w.node('Relu', [x]), zeros(w)]), x, w.node('Exp', [x])])));
  });
});

describe('what tfjs lacks, against the same in operators that it has', () => {
  const same = async (build: (w: GraphWriter, x: string) => string, reference: (w: GraphWriter, x: string) => string, shape: readonly number[] = image): Promise<string[]> =>
    operators(await expectGraphParity(tf, graphOf(build, shape), { reference: graphOf(reference, shape) }));
  const scalar = (w: GraphWriter, value: number): string => w.constant(Float32Array.of(value), []);
  /** The same numbers in both graphs. */
  const fixedNumbers = (count: number): Float32Array => normals(count);

  it('grouped convolution, alone and fused', async () => {
    const [kernel, bias] = [fixedNumbers(3 * 3 * 2 * 6), fixedNumbers(6)];
    const halves = [0, 1].map((half) => kernel.filter((_, index) => Math.floor((index % 6) / 3) === half));
    const parts = (attributes: Parameters<GraphWriter['node']>[2]) => (w: GraphWriter, x: string): string => {
      const split = w.node('Split', [w.int(3), x], { num_split: 2 });
      const each = halves.map((half, index) => w.node('Conv2D', [`${split}:${index}`, w.constant(half, [3, 3, 2, 3])], attributes));
      return w.node('ConcatV2', [...each, w.int(3)]);
    };
    for (const padding of paddings) {
      const attributes = { ...conv, padding, strides: [1, 2, 2, 1] };
      expect(await same((w, x) => w.node('Conv2D', [x, w.constant(kernel, [3, 3, 2, 6])], attributes), parts(attributes))).toEqual(['Conv']);
      expect(await same(
        (w, x) => w.node('_FusedConv2D', [x, w.constant(kernel, [3, 3, 2, 6]), w.constant(bias, [6])], { ...attributes, fused_ops: ['BiasAdd', '_FusedHardSwish'], num_args: 1 }),
        (w, x) => hardSwish(w, w.node('BiasAdd', [parts(attributes)(w, x), w.constant(bias, [6])])),
      )).toEqual(['Conv', 'HardSwish']);
    }
  });
  const hardSwish = (w: GraphWriter, x: string): string => w.node('Mul', [x, w.node('Mul', [w.node('Relu6', [w.node('Add', [x, scalar(w, 3)])]), scalar(w, 1 / 6)])]);

  it('calls of functions, one within another, with weights of their own', async () => {
    const kernel = fixedNumbers(3 * 3 * 4 * 5);
    const gain = Float32Array.of(0.5, 2, -1, 3, 0.1);
    const call = (w: GraphWriter, name: string, inputs: readonly string[]): string => w.node('StatefulPartitionedCall', inputs, { f: { func: { name } } });
    await same((w, x) => {
      w.define('scaled', ['y'], (body, y) => `${body.node('Mul', [y, `${body.constant(gain, [5])}:output:0`])}:z:0`);
      w.define('convolved', ['x', 'kernel'], (body, ...inputs) => `${call(body, 'scaled', [`${body.node('Conv2D', inputs, { ...conv, padding: 'SAME' })}:output:0`])}:output:0`);
      const weight = w.constant(kernel, [3, 3, 4, 5]);
      return w.node('Relu', [call(w, 'convolved', [x, weight])]);
    }, (w, x) => w.node('Relu', [w.node('Mul', [w.node('Conv2D', [x, w.constant(kernel, [3, 3, 4, 5])], { ...conv, padding: 'SAME' }), w.constant(gain, [5])])]));
    // A second output, by its name.
    await same((w, x) => {
      w.define('places', ['x'], (body, given) => `${body.node('Cast', [`${body.node('TopKV2', [given, `${body.int(3)}:output:0`], { sorted: true })}:indices:0`], { SrcT: { type: 'DT_INT32' }, DstT: { type: 'DT_FLOAT' } })}:y:0`);
      return call(w, 'places', [x]);
    }, (w, x) => w.node('Cast', [`${w.node('TopKV2', [x, w.int(3)], { sorted: true })}:1`], { SrcT: { type: 'DT_INT32' }, DstT: { type: 'DT_FLOAT' } }), [-1, 7]);
  });

  it('batch normalisation with a sum and an activation, layer normalisation', async () => {
    const statistics = [0, 1, 2, 3].map((index) => (index === 1 || index === 2 ? fixedNumbers(4) : fixedNumbers(4).map((value) => 0.5 + Math.abs(value))));
    const inputs = (w: GraphWriter): string[] => statistics.map((values) => w.constant(values, [4]));
    const epsilon = { f: 0.01 };
    await same(
      (w, x) => w.node('_FusedBatchNormEx', [x, ...inputs(w), w.node('Neg', [x])], { epsilon, activation_mode: 'Relu', num_side_inputs: 1, is_training: false }),
      (w, x) => w.node('Relu', [w.node('Sub', [w.node('FusedBatchNormV3', [x, ...inputs(w)], { epsilon, is_training: false }), x])]),
    );
    const overLast = (w: GraphWriter, x: string, axes: readonly number[], [scale, offset]: readonly string[]): string => {
      const mean = w.node('Mean', [x, w.ints(...axes)], { keep_dims: true });
      const variance = w.node('Mean', [w.node('SquaredDifference', [x, mean]), w.ints(...axes)], { keep_dims: true });
      const normalized = w.node('Mul', [w.node('Sub', [x, mean]), w.node('Rsqrt', [w.node('Add', [variance, scalar(w, 0.01)])])]);
      return w.node('Add', [w.node('Mul', [normalized, scale!]), offset!]);
    };
    await same((w, x) => w.node('_MklLayerNorm', [x, ...inputs(w).slice(0, 2)], { epsilon }), (w, x) => overLast(w, x, [2], inputs(w)), [-1, 6, 4]);
    // By statistics of the batch itself.
    await same((w, x) => w.node('FusedBatchNormV3', [x, ...inputs(w)], { epsilon, is_training: true }), (w, x) => overLast(w, x, [0, 1, 2], inputs(w)));
    // As Keras 2 writes it: places as channels, ones and zeros of that many, as open as the batch.
    await same((w, x) => {
      const batch = w.node('StridedSlice', [w.node('Shape', [x]), w.ints(0), w.ints(1), w.ints(1)], { shrink_axis_mask: 1 });
      const places = w.node('Mul', [batch, w.int(6)]);
      const [one, of] = [w.int(1), w.node('Pack', [places], { axis: 0 })];
      const rows = w.node('Reshape', [x, w.node('Pack', [one, places, w.int(4), one], { axis: 0 })]);
      const parameters = [1, 0].map((value) => w.node('Fill', [of, scalar(w, value)]));
      const normalized = w.node('FusedBatchNormV3', [rows, ...parameters, ...[0, 0].map(() => w.constant(new Float32Array(0), [0]))], { epsilon, is_training: true, data_format: 'NCHW' });
      return w.node('Reshape', [normalized, w.node('Shape', [x])]);
    }, (w, x) => overLast(w, x, [2], [scalar(w, 1), scalar(w, 0)]), [-1, 6, 4]);
  });

  it('Erfc, Roll, MatrixBandPart, IsFinite', async () => {
    await same((w, x) => w.node('Erfc', [x]), (w, x) => w.node('Sub', [scalar(w, 1), w.node('Erf', [x])]));
    await same((w, x) => w.node('Roll', [x, w.ints(2, -1), w.ints(1, 2)]), (w, x) => {
      const rows = w.node('SplitV', [x, w.ints(6, 2), w.int(1)], { num_split: 2 });
      const turned = w.node('ConcatV2', [`${rows}:1`, rows, w.int(1)]);
      const columns = w.node('SplitV', [turned, w.ints(1, 8), w.int(2)], { num_split: 2 });
      return w.node('ConcatV2', [`${columns}:1`, columns, w.int(2)]);
    });
    for (const [below, above] of [[1, 0], [-1, 2], [0, -1]] as const) {
      const mask = Float32Array.from({ length: 30 }, (_, index) => {
        const [i, j] = [Math.floor(index / 6), index % 6];
        return (below < 0 || i - j <= below) && (above < 0 || j - i <= above) ? 1 : 0;
      });
      await same((w, x) => w.node('MatrixBandPart', [x, w.int(below), w.int(above)]), (w, x) => w.node('Mul', [x, w.constant(mask, [5, 6])]), [-1, 5, 6]);
    }
    // Finite where the divisor is not 0.
    const divisor = Float32Array.of(0, 1, 0, 2);
    await same(
      (w, x) => w.node('Cast', [w.node('IsFinite', [w.node('RealDiv', [x, w.constant(divisor, [4])])])], { SrcT: { type: 'DT_BOOL' }, DstT: { type: 'DT_FLOAT' } }),
      (w, x) => w.node('Add', [w.node('Mul', [x, scalar(w, 0)]), w.constant(divisor.map(Math.sign), [4])]),
    );
  });
});

describe('images, sums and parts', () => {
  it('dilation through the batch is one convolution', async () => {
    const dilated = (op: string, kernel: number[], pads: number[], crops: number[]) => (w: GraphWriter, x: string): string => {
      const blocks = w.constant(Int32Array.of(2, 3), [2]);
      const forth = w.node('SpaceToBatchND', [x, blocks, w.constant(Int32Array.from(pads), [2, 2])]);
      return w.node('BatchToSpaceND', [w.node(op, [forth, w.random(...kernel)], { ...conv, padding: 'VALID' }), blocks, w.constant(Int32Array.from(crops), [2, 2])]);
    };
    for (const [op, kernel] of [['Conv2D', [3, 3, 4, 5]], ['DepthwiseConv2dNative', [3, 3, 4, 1]]] as const) {
      expect(operators(await expectGraphParity(tf, graphOf(dilated(op, [...kernel], [2, 2, 3, 3], [0, 0, 0, 0]))))).toEqual(['Conv']);
      expect(operators(await expectGraphParity(tf, graphOf(dilated(op, [...kernel], [3, 3, 4, 5], [1, 0, 1, 2]))))).toEqual(['Conv']);
    }
    // More is cropped than was padded: no convolution does that.
    expect(operators(await expectGraphParity(tf, graphOf(dilated('Conv2D', [1, 1, 4, 5], [0, 0, 0, 0], [1, 0, 0, 2]))))).toContain('Transpose');
  });
  it('normalisation over channels, mirrored borders', async () => {
    await expectGraphParity(tf, graphOf((w, x) => w.node('LRN', [x], { depth_radius: 1, bias: { f: 1.5 }, alpha: { f: 0.3 }, beta: { f: 0.6 } })));
    await expectGraphParity(tf, graphOf((w, x) => w.node('MirrorPad', [x, w.constant(Int32Array.of(0, 0, 2, 1, 1, 3, 0, 0), [4, 2])], { mode: 'SYMMETRIC' })));
  });
  it('running sums, reversal, largest, one-hot, Einsum, extents made and broadcast', async () => {
    for (const exclusive of [false, true]) await expectGraphParity(tf, graphOf((w, x) => w.node('Cumsum', [x, w.int(1)], { exclusive, reverse: exclusive })));
    await expectGraphParity(tf, graphOf((w, x) => w.node('ReverseV2', [x, w.ints(1, 3)])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('TopKV2', [x, w.int(3)], { sorted: true }), [-1, 7]));
    await expectGraphParity(tf, graphOf((w, x) => w.node('OneHot', [w.node('ArgMax', [x, w.int(1)]), w.int(7), w.constant(Float32Array.of(2), []), w.constant(Float32Array.of(-1), [])], { axis: -1 }), [-1, 7]));
    await expectGraphParity(tf, graphOf((w, x) => w.node('Einsum', [x, w.random(4, 3, 5)], { equation: 'nd,dhk->nhk' }), [-1, 4]));
    await expectGraphParity(tf, graphOf((w, x) => w.node('Mul', [x, w.node('Fill', [w.ints(9, 4), w.constant(Float32Array.of(0.3), [])])])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('BroadcastTo', [x, w.ints(2, 5, 4)]), [2, 1, 4]));
    await expectGraphParity(tf, graphOf((w, x) => w.node('EuclideanNorm', [x, w.ints(3)])));
    await expectGraphParity(tf, graphOf((w, x) => w.node('Add', [x, w.node('Cast', [w.node('Range', [w.int(3), w.int(11), w.int(2)], { Tidx: { type: 'DT_INT32' } })], { DstT: { type: 'DT_FLOAT' } })])));
    for (const op of ['All', 'Any']) {
      await expectGraphParity(tf, graphOf((w, x) => w.node('Cast', [w.node(op, [w.node('Greater', [x, w.random(4)]), w.ints(3)])], { SrcT: { type: 'DT_BOOL' }, DstT: { type: 'DT_FLOAT' } })));
    }
  });
});

describe('shapes', () => {
  const chains: [string, (w: GraphWriter, x: string) => string][] = [
    ['Reshape', (w, x) => w.node('Reshape', [x, w.ints(-1, 72, 4)])],
    ['Reshape to rows and back', (w, x) => w.node('Reshape', [w.node('Neg', [w.node('Reshape', [x, w.ints(-1, 4)])]), w.ints(-1, 8, 9, 4)])],
    ['flattening by a shape that is computed', (w, x) => {
      const batch = w.node('StridedSlice', [w.node('Shape', [x]), w.ints(0), w.ints(1), w.ints(1)], { shrink_axis_mask: 1 });
      return w.node('Reshape', [x, w.node('Pack', [batch, w.int(-1)], { axis: 0 })]);
    }],
    ['Squeeze', (w, x) => w.node('Squeeze', [w.node('Mean', [x, w.ints(1, 2)], { keep_dims: true })], { squeeze_dims: [1, 2] })],
    ['ExpandDims', (w, x) => w.node('ExpandDims', [w.node('Mean', [x, w.ints(3)]), w.int(-1)])],
    ['Transpose', (w, x) => w.node('Transpose', [x, w.ints(0, 2, 1, 3)])],
    ['ConcatV2', (w, x) => w.node('ConcatV2', [x, w.node('Neg', [x]), w.int(3)])],
    ['ConcatV2 along rows', (w, x) => w.node('ConcatV2', [x, w.node('Neg', [x]), w.int(-3)])],
    ['Pack', (w, x) => w.node('Pack', [x, w.node('Neg', [x])], { axis: 1 })],
    ['Pad', (w, x) => w.node('Pad', [x, w.constant(Int32Array.of(0, 0, 1, 2, 0, 3, 1, 0), [4, 2])])],
    ['PadV2', (w, x) => w.node('PadV2', [x, w.constant(Int32Array.of(0, 0, 1, 2, 0, 3, 1, 0), [4, 2]), w.constant(Float32Array.of(0.5), [])])],
    ['MirrorPad', (w, x) => w.node('MirrorPad', [x, w.constant(Int32Array.of(0, 0, 1, 2, 0, 3, 0, 0), [4, 2])], { mode: 'REFLECT' })],
    ['StridedSlice', (w, x) => w.node('StridedSlice', [x, w.ints(0, 1, 8, 0), w.ints(0, 7, 2, 4), w.ints(1, 2, -2, 1)], { begin_mask: 1, end_mask: 1 })],
    ['StridedSlice that drops an axis', (w, x) => w.node('StridedSlice', [x, w.ints(0, 3), w.ints(0, 4), w.ints(1, 1)], { begin_mask: 1, end_mask: 1, shrink_axis_mask: 2 })],
    ['StridedSlice with ellipsis and a new axis', (w, x) => w.node('StridedSlice', [x, w.ints(0, 0, 1), w.ints(0, 0, 3), w.ints(1, 1, 1)], { ellipsis_mask: 1, new_axis_mask: 2 })],
    ['StridedSlice of leading axes', (w, x) => w.node('StridedSlice', [x, w.ints(0, 2), w.ints(0, 5), w.ints(1, 1)], { begin_mask: 1, end_mask: 1 })],
    ['Slice', (w, x) => w.node('Slice', [x, w.ints(0, 2, 0, 1), w.ints(-1, 3, 9, 2)])],
    ['Split', (w, x) => `${w.node('Split', [w.int(3), x], { num_split: 2 })}:1`],
    ['SplitV', (w, x) => `${w.node('SplitV', [x, w.ints(3, -1), w.int(1)], { num_split: 2 })}:1`],
    ['Unpack', (w, x) => `${w.node('Unpack', [x], { axis: 2, num: 9 })}:3`],
    ['Tile', (w, x) => w.node('Tile', [x, w.ints(1, 2, 1, 3)])],
    ['GatherV2', (w, x) => w.node('GatherV2', [x, w.ints(3, 1, 1), w.int(2)])],
    ['DepthToSpace', (w, x) => w.node('DepthToSpace', [x], { block_size: 2, data_format: 'NHWC' })],
  ];
  it.each(chains)('%s', async (_, build) => {
    await expectGraphParity(tf, graphOf(build));
  });
  it.each(['Mean', 'Sum', 'Max', 'Min', 'Prod'])('%s', async (op) => {
    for (const axes of [[1, 2], [3], [1], [-1, 1], [1, 2, 3], [2, 1]]) {
      for (const keep_dims of [true, false]) await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x, w.ints(...axes)], { keep_dims })));
    }
  });
  it('ArgMax', async () => {
    await expectGraphParity(tf, graphOf((w, x) => w.node('ArgMax', [x, w.int(3)])));
  });
  it.each(['ResizeBilinear', 'ResizeNearestNeighbor'])('%s', async (op) => {
    for (const grid of [{}, { align_corners: true }, { half_pixel_centers: true }]) {
      for (const size of [[16, 18], [5, 13], [8, 9], [1, 20]]) await expectGraphParity(tf, graphOf((w, x) => w.node(op, [x, w.ints(...size)], grid)));
    }
  });
  it('matrix products', async () => {
    for (const transpose_b of [true, false]) await expectGraphParity(tf, graphOf((w, x) => w.node('MatMul', [x, transpose_b ? w.random(5, 6) : w.random(6, 5)], { transpose_b }), [-1, 6]));
    await expectGraphParity(tf, graphOf((w, x) => w.node('BatchMatMulV2', [x, x], { adj_y: true }), [-1, 5, 6]));
  });
});

/** MobileNet V1 and V2, ResNet and EfficientNet in small: stem, blocks, head. */
function classifier(): GraphWriter {
  const writer = new GraphWriter();
  const norm = (x: string, channels: number): string => writer.node('FusedBatchNormV3', [x, writer.positive(channels), writer.random(channels), writer.random(channels), writer.positive(channels)], { epsilon: { f: 0.001 } });
  const kernel = (...shape: number[]): string => writer.constant(normals(shape.reduce((a, b) => a * b, 1)).map((value) => value / Math.sqrt(shape[0]! * shape[1]! * shape[2]!)), shape);
  const x = writer.input('image', [-1, 33, 33, 3]);
  const padded = writer.node('Pad', [x, writer.constant(Int32Array.of(0, 0, 1, 1, 1, 1, 0, 0), [4, 2])]);
  let y = writer.node('Relu6', [norm(writer.node('Conv2D', [padded, kernel(3, 3, 3, 8)], { ...conv, strides: [1, 2, 2, 1], padding: 'VALID' }), 8)]);
  y = writer.node('MaxPool', [y], { ksize: [1, 3, 3, 1], strides: [1, 2, 2, 1], padding: 'SAME' });
  // Depthwise separable, with a fused tail.
  y = writer.node('FusedDepthwiseConv2dNative', [y, kernel(3, 3, 8, 1), writer.random(8)], { ...conv, padding: 'SAME', fused_ops: ['BiasAdd', 'Relu6'], num_args: 1 });
  y = writer.node('_FusedConv2D', [y, kernel(1, 1, 8, 12), writer.random(12)], { ...conv, padding: 'SAME', fused_ops: ['BiasAdd'], num_args: 1 });
  // Residual block.
  const inner = writer.node('_FusedConv2D', [y, kernel(3, 3, 12, 12), writer.random(12)], { ...conv, padding: 'SAME', fused_ops: ['BiasAdd', 'Relu'], num_args: 1 });
  y = writer.node('Relu', [writer.node('AddV2', [y, norm(writer.node('Conv2D', [inner, kernel(3, 3, 12, 12)], { ...conv, padding: 'SAME' }), 12)])]);
  // Squeeze and excitation after swish.
  y = writer.node('Mul', [y, writer.node('Sigmoid', [y])]);
  const squeezed = writer.node('Reshape', [writer.node('Mean', [y, writer.ints(1, 2)], { keep_dims: false }), writer.ints(-1, 1, 1, 12)]);
  const gate = writer.node('Sigmoid', [writer.node('BiasAdd', [writer.node('Conv2D', [squeezed, kernel(1, 1, 12, 12)], { ...conv, padding: 'SAME' }), writer.random(12)])]);
  y = writer.node('Mul', [y, gate]);
  y = writer.node('AvgPool', [y], { ksize: [1, 3, 3, 1], strides: [1, 2, 2, 1], padding: 'VALID' });
  // Flattened, as in VGG, by a computed shape.
  const batch = writer.node('StridedSlice', [writer.node('Shape', [y]), writer.ints(0), writer.ints(1), writer.ints(1)], { shrink_axis_mask: 1 });
  const flat = writer.node('Reshape', [y, writer.node('Pack', [batch, writer.int(4 * 4 * 12)], { axis: 0 })]);
  const hidden = writer.node('_FusedMatMul', [flat, writer.random(4 * 4 * 12, 20)], {});
  writer.output('features', hidden);
  writer.output('probabilities', writer.node('Softmax', [writer.node('BiasAdd', [writer.node('MatMul', [hidden, writer.random(20, 7)]), writer.random(7)])]));
  return writer;
}

describe('whole graphs', () => {
  it('a classifier in channels first, without transposes', async () => {
    const model = await expectGraphParity(tf, classifier());
    expect(operators(model)).not.toContain('Transpose');
    expect(operators(model)).not.toContain('Pad');
    expect(model.graph.inputs.map(({ name, shape }) => [name, shape])).toEqual([['image', ['N', 3, 33, 33]]]);
  });

  it('quantised weights', async () => {
    const writer = new GraphWriter();
    const x = writer.input('x', [-1, 4]);
    const stored = Uint8Array.from({ length: 12 }, (_, index) => (index * 37) % 256);
    const eight = writer.constant(new Float32Array(12), [4, 3], { dtype: 'uint8', scale: 0.013, min: -1.5 }, stored);
    const sixteen = writer.constant(new Float32Array(12), [4, 3], { dtype: 'uint16', scale: 0.0001, min: -0.7 }, Uint16Array.from(stored, (value) => value * 251));
    const halves = writer.constant(new Float32Array(12), [4, 3], { dtype: 'float16' }, Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x0001, 0x8000, 0x7bff, 0x2e66, 0xb800, 0x3800, 0x0400, 0x83ff, 0x4248));
    [eight, sixteen, halves].forEach((weight, index) => writer.output(`y${index}`, writer.node('MatMul', [x, weight])));
    await expectGraphParity(tf, writer);
  });

  it('open extents are fixed by the caller', async () => {
    const graph = graphOf((w, x) => w.node('Conv2D', [x, w.random(3, 3, 2, 3)], { ...conv, strides: [1, 2, 2, 1], padding: 'SAME' }), [-1, -1, -1, 2]);
    expect(() => convertGraphModel(graph.artifacts())).toThrow(/Input "x": axis 1 of \[-1, -1, -1, 2\] has no fixed extent; give it in `inputShapes`/);
    await expectGraphParity(tf, graph, { inputShapes: { x: [7, 6, 2] }, shapes: [[2, 7, 6, 2]] });
  });
});

describe('bad input', () => {
  const artifacts = (change: (writer: GraphWriter, x: string) => string): ReturnType<GraphWriter['artifacts']> => graphOf(change).artifacts();
  it('names node and operator', () => {
    expect(() => convertGraphModel(artifacts((w, x) => w.node('NonMaxSuppressionV5', [x])))).toThrow(/Node "NonMaxSuppressionV5_1" \(NonMaxSuppressionV5\): operators of this kind are not supported; pass a converter/);
    expect(() => convertGraphModel(artifacts((w, x) => w.node('Conv2D', [x, x], { ...conv, padding: 'SAME' })))).toThrow(/Node "Conv2D_1" \(Conv2D\): its kernel is not a constant/);
    expect(() => convertGraphModel(artifacts((w, x) => w.node('Conv2D', [x, w.random(3, 3, 3, 4)], { ...conv, padding: 'SAME' })))).toThrow(/input of 4 channels does not go with a kernel \[3, 3, 3, 4\]/);
    expect(() => convertGraphModel(artifacts((w, x) => w.node('Conv2D', [x, w.random(3, 3, 2, 3)], { ...conv, padding: 'SAME' })))).toThrow(/input of 4 channels does not go with a kernel \[3, 3, 2, 3\]/);
    expect(() => convertGraphModel(artifacts((w, x) => w.node('Conv2D', [x, w.random(3, 3, 4, 4)], { ...conv, padding: 'FULL' })))).toThrow(/padding = "FULL" is not supported/);
    expect(() => convertGraphModel(artifacts((w, x) => w.node('Reshape', [x, w.node('Cast', [x], { DstT: { type: 'DT_INT32' } })])))).toThrow(/its shape is computed from data/);
  });
  it('cycles, unknown nodes, nodes twice, no graph at all', () => {
    const good = artifacts((w, x) => w.node('Relu', [x]));
    const withNodes = (nodes: object[]): typeof good => ({ ...good, modelTopology: { node: nodes } });
    const [placeholder] = (good.modelTopology as { node: object[] }).node;
    expect(() => convertGraphModel(withNodes([placeholder!, { name: 'Relu_1', op: 'AddV2', input: ['x', 'b'] }, { name: 'b', op: 'Neg', input: ['Relu_1'] }]))).toThrow(/cycle through node "Relu_1"/);
    expect(() => convertGraphModel(withNodes([placeholder!, { name: 'Relu_1', op: 'Exit', input: ['x'] }]))).toThrow(/Node "Relu_1" \(Exit\): loops are not supported/);
    expect(() => convertGraphModel(withNodes([placeholder!, { name: 'Relu_1', op: 'Relu', input: ['y'] }]))).toThrow(/no node "y", which node "Relu_1" names/);
    expect(() => convertGraphModel(withNodes([placeholder!, placeholder!]))).toThrow(/two nodes "x"/);
    expect(() => convertGraphModel(withNodes([placeholder!]))).toThrow(/no node "Relu_1", which the signature names/);
    expect(() => convertGraphModel({ ...good, modelTopology: {} })).toThrow(/no list of nodes/);
  });
  it('calls of functions that do not work out', () => {
    const call = { f: { func: { name: 'f' } } };
    expect(() => convertGraphModel(artifacts((w, x) => w.node('PartitionedCall', [x], call)))).toThrow(/Node "PartitionedCall_1" \(PartitionedCall\): the library has no function "f"/);
    const calling = (change: (w: GraphWriter) => void) => (): unknown => convertGraphModel(artifacts((w, x) => {
      change(w);
      return w.node('PartitionedCall', [x], call);
    }));
    expect(calling((w) => w.define('f', ['x', 'y'], (_, x) => x))).toThrow(/the function "f" takes 2 inputs, got 1/);
    expect(calling((w) => w.define('f', ['x'], (body, x) => `${body.node('PartitionedCall', [x], call)}:output:0`))).toThrow(/the function "f" calls itself/);
    expect(calling((w) => w.define('f', ['x'], () => 'nothing:y:0'))).toThrow(/no node "PartitionedCall_1\/nothing", which node "PartitionedCall_1" names/);
    expect(calling((w) => w.functions.push({ signature: { name: 'f', inputArg: [{ name: 'x' }], outputArg: [{ name: 'y' }] } }))).toThrow(/The function "f" does not say what it returns as "y"/);
    expect(calling((w) => w.functions.push({ signature: { name: 'f' }, nodeDef: 7 }))).toThrow(/library holds a function without name, arguments, results or nodes: \{"name":"f"\}/);
    expect(calling((w) => {
      w.define('f70', ['x'], (_, x) => x);
      for (let level = 69; level >= 0; level--) w.define(level === 0 ? 'f' : `f${level}`, ['x'], (body, x) => `${body.node('PartitionedCall', [x], { f: { func: { name: `f${level + 1}` } } })}:output:0`);
    })).toThrow(/calls are nested deeper than 64/);
    // Each doubles the last: more nodes than any machine holds.
    expect(calling((w) => {
      w.define('f40', ['x'], (_, x) => x);
      for (let level = 39; level >= 0; level--) {
        w.define(level === 0 ? 'f' : `f${level}`, ['x'], (body, x) => {
          const next = (given: string): string => `${body.node('PartitionedCall', [given], { f: { func: { name: `f${level + 1}` } } })}:output:0`;
          return next(next(x));
        });
      }
    })).toThrow(/the graph has more than 100000 nodes/);
  });
  it('weights that do not match', () => {
    const good = artifacts((w, x) => w.node('MatMul', [x, w.random(4, 3)]));
    expect(() => convertGraphModel({ ...good, weightData: good.weightData.slice(4) })).toThrow(/take 48 bytes, its weight data has 44/);
    expect(() => convertGraphModel({ ...good, weightSpecs: [{ ...good.weightSpecs[0]!, name: 'other' }] })).toThrow(/Node "const_0" \(Const\): the weights hold nothing of this name/);
    expect(() => convertGraphModel({ ...good, weightSpecs: [{ ...good.weightSpecs[0]!, shape: [-4, 3] }] })).toThrow(/has the shape \[-4,3\]/);
    expect(() => convertGraphModel({ ...good, weightSpecs: [{ ...good.weightSpecs[0]!, dtype: 'string' }] })).toThrow(/stored as "string"/);
    expect(() => convertGraphModel({ ...good, weightSpecs: [{ ...good.weightSpecs[0]!, quantization: { dtype: 'uint8' } }] })).toThrow(/take 12 bytes/);
  });
  it('anything else is an error of ours, or converts', () => {
    const whole = JSON.stringify(classifier().artifacts().modelTopology);
    const { weightSpecs, weightData, signature } = classifier().artifacts();
    const strange = [null, -1, 1e300, '', 'x', [], {}, [null], { size: '-5' }, true];
    let seed = 1;
    const next = (bound: number): number => (seed = (seed * 48271) % 2147483647) % bound;
    let refused = 0;
    for (let round = 0; round < 400; round++) {
      const topology = JSON.parse(whole) as { node: Record<string, unknown>[] };
      // Walks to a random place and puts something strange there.
      let place: Record<string, unknown> = topology.node[next(topology.node.length)]!;
      for (let depth = next(6); depth > 0; depth--) {
        const children = Object.values(place).filter((child): child is Record<string, unknown> => typeof child === 'object' && child !== null);
        place = children.length > 0 ? children[next(children.length)]! : place;
      }
      const keys = Object.keys(place);
      if (keys.length > 0) place[keys[next(keys.length)]!] = strange[next(strange.length)];
      try {
        convertGraphModel({ modelTopology: topology, weightSpecs, weightData, signature: signature! });
      } catch (error) {
        expect(['GraphError', 'ModelFormatError', 'UnsupportedError'], `${String(error)} ${(error as Error).stack ?? ''} ${JSON.stringify(place)}`).toContain((error as Error).name);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});
