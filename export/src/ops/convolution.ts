/** Convolution; window arithmetic shared by inference and by the adjoints. */
import { GraphError, UnsupportedError } from '../errors.js';
import type { Dim, Node } from '../ir/types.js';
import { product, type MaybeDim } from './symbolic.js';
import { inputOf, intOf, intsOf, sameDtype, showShape, stringOf, type Operator } from './operator.js';

/** Geometry of a sliding window along the spatial axes. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after, per axis. */
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** Window of a Conv or pooling node; `auto_pad` is resolved into explicit padding. */
export function windowOf(node: Node, kernel: readonly number[], spatial: readonly Dim[], where: string): Window {
  const rank = kernel.length;
  const strides = intsOf(node, 'strides') ?? kernel.map(() => 1);
  const dilations = intsOf(node, 'dilations') ?? kernel.map(() => 1);
  const pads = intsOf(node, 'pads') ?? Array.from({ length: 2 * rank }, () => 0);
  if (strides.length !== rank || dilations.length !== rank || pads.length !== 2 * rank) {
    throw new GraphError(`${where}: strides, dilations and pads need ${rank}, ${rank} and ${2 * rank} numbers.`);
  }
  if (strides.some((s) => s < 1) || dilations.some((d) => d < 1)) throw new GraphError(`${where}: strides and dilations must be positive.`);
  const mode = stringOf(node, 'auto_pad', 'NOTSET');
  if (mode === 'NOTSET' || mode === '') return { kernel, strides, dilations, begin: pads.slice(0, rank), end: pads.slice(rank) };
  const begin: number[] = [];
  const end: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const extent = spatial[axis];
    if (mode === 'VALID') { begin.push(0); end.push(0); continue; }
    if (mode !== 'SAME_UPPER' && mode !== 'SAME_LOWER') throw new GraphError(`${where}: unknown auto_pad ${JSON.stringify(mode)}.`);
    const [reach, stride] = [(kernel[axis]! - 1) * dilations[axis]! + 1, strides[axis]!];
    if (typeof extent !== 'number' && stride > 1) throw new UnsupportedError(`${where}: auto_pad ${mode} with stride ${stride} needs static spatial extents.`);
    const total = typeof extent === 'number' ? Math.max(0, (Math.ceil(extent / stride) - 1) * stride + reach - extent) : reach - 1;
    const small = Math.floor(total / 2);
    begin.push(mode === 'SAME_UPPER' ? small : total - small);
    end.push(mode === 'SAME_UPPER' ? total - small : small);
  }
  return { kernel, strides, dilations, begin, end };
}

/** Extent after a window has slid over `extent`; undefined where symbolic, unless the window keeps the extent. */
export function slide(extent: Dim, window: Window, axis: number, where: string): MaybeDim {
  const reach = (window.kernel[axis]! - 1) * window.dilations[axis]! + 1;
  if (typeof extent !== 'number') return window.strides[axis] === 1 && window.begin[axis]! + window.end[axis]! === reach - 1 ? extent : undefined;
  const room = extent + window.begin[axis]! + window.end[axis]! - reach;
  if (room < 0) throw new GraphError(`${where}: a window of reach ${reach} does not fit into extent ${extent} on spatial axis ${axis}.`);
  return Math.floor(room / window.strides[axis]!) + 1;
}

const convolutionAttributes = { auto_pad: 'string', dilations: 'ints', group: 'int', kernel_shape: 'ints', pads: 'ints', strides: 'ints' } as const;

export const convolutionOperators: Readonly<Record<string, Operator>> = {
  Conv: {
    inputs: [2, 3],
    attributes: convolutionAttributes,
    infer: (node, where) => {
      const dtype = sameDtype(node, [0, 1, 2], where);
      const [x, w] = [inputOf(node, 0).shape, inputOf(node, 1).shape];
      if (!x || !w || w.some((dim) => typeof dim !== 'number')) return [{ dtype, shape: x && w && [x[0], w[0], ...x.slice(2).map(() => undefined)] }];
      const kernel = w.slice(2) as number[];
      const group = intOf(node, 'group', 1);
      checkRanks(x, w, where);
      if (typeof x[1] === 'number' && x[1] !== (w[1] as number) * group) {
        throw new GraphError(`${where}: input ${showShape(x)} has ${x[1]} channels, kernel ${showShape(w)} with group ${group} wants ${(w[1] as number) * group}.`);
      }
      if (!((w[0] as number) % group === 0)) throw new GraphError(`${where}: ${w[0]!} output channels are not divided by group ${group}.`);
      checkBias(node, w[0] as number, where);
      if (padsItself(node) && x.slice(2).some((dim) => typeof dim !== 'number')) return [{ dtype, shape: [x[0], w[0], ...x.slice(2).map(() => undefined)] }];
      const window = windowOf(node, kernel, x.slice(2), where);
      return [{ dtype, shape: [x[0], w[0], ...x.slice(2).map((extent, axis) => slide(extent, window, axis, where))] }];
    },
  },
  ConvTranspose: {
    inputs: [2, 3],
    attributes: { ...convolutionAttributes, output_padding: 'ints', output_shape: 'ints' },
    infer: (node, where) => {
      const dtype = sameDtype(node, [0, 1, 2], where);
      const [x, w] = [inputOf(node, 0).shape, inputOf(node, 1).shape];
      if (!x || !w || w.some((dim) => typeof dim !== 'number')) return [{ dtype, shape: undefined }];
      const kernel = w.slice(2) as number[];
      const group = intOf(node, 'group', 1);
      const channels = (w[1] as number) * group;
      checkRanks(x, w, where);
      if (typeof x[1] === 'number' && x[1] !== w[0]) throw new GraphError(`${where}: input ${showShape(x)} has ${x[1]} channels, kernel ${showShape(w)} wants ${w[0]!}.`);
      if (!((w[0] as number) % group === 0)) throw new GraphError(`${where}: ${w[0]!} input channels are not divided by group ${group}.`);
      checkBias(node, channels, where);
      const wanted = intsOf(node, 'output_shape');
      if (wanted) return [{ dtype, shape: [x[0], channels, ...wanted.slice(-kernel.length)] }];
      if (padsItself(node)) {
        const strides = intsOf(node, 'strides') ?? kernel.map(() => 1);
        return [{ dtype, shape: [x[0], channels, ...x.slice(2).map((extent, axis) => product([extent, strides[axis]]))] }];
      }
      const window = windowOf(node, kernel, x.slice(2), where);
      const extra = intsOf(node, 'output_padding') ?? kernel.map(() => 0);
      const spatial = x.slice(2).map((extent, axis) => typeof extent === 'number'
        ? window.strides[axis]! * (extent - 1) + extra[axis]! + (kernel[axis]! - 1) * window.dilations[axis]! + 1 - window.begin[axis]! - window.end[axis]!
        : undefined);
      return [{ dtype, shape: [x[0], channels, ...spatial] }];
    },
  },
};

function checkRanks(x: readonly MaybeDim[], w: readonly MaybeDim[], where: string): void {
  if (x.length !== w.length || x.length < 3) throw new GraphError(`${where}: input ${showShape(x)} and kernel ${showShape(w)} differ in rank.`);
}

function checkBias(node: Node, channels: number, where: string): void {
  const bias = node.inputs[2]?.shape;
  if (!bias) return;
  if (bias.length !== 1 || (typeof bias[0] === 'number' && bias[0] !== channels)) throw new GraphError(`${where}: a bias of shape ${showShape(bias)} does not go with ${channels} output channels.`);
}

/** Whether auto_pad asks for as many outputs as inputs (per stride). */
const padsItself = (node: Node): boolean => stringOf(node, 'auto_pad', 'NOTSET').startsWith('SAME');
