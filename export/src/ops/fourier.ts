/** Fourier transforms. Complex numbers are pairs on the last axis. */
import type { Node } from '../ir/types.js';
import { inputOf, intOf, knownInts, normalizeAxis, type Operator } from './operator.js';

/** Axis and length of a DFT node; undefined where they are not known. Opset 20 made the axis an input. */
export function dftLength(node: Node, where: string): { readonly axis: number; readonly length: number } | undefined {
  const { shape } = inputOf(node, 0);
  const given = node.inputs[2] ? knownInts(node.inputs[2])?.[0] : intOf(node, 'axis', node.attributes.has('axis') ? 1 : -2);
  if (!shape || given === undefined) return undefined;
  const axis = normalizeAxis(given, shape.length, where);
  const extent = shape[axis];
  const oneSided = intOf(node, 'inverse', 0) === 1 && intOf(node, 'onesided', 0) === 1;
  const length = node.inputs[1] ? knownInts(node.inputs[1])?.[0] : typeof extent === 'number' ? (oneSided ? 2 * (extent - 1) : extent) : undefined;
  return length === undefined || length < 1 ? undefined : { axis, length };
}

export const fourierOperators: Readonly<Record<string, Operator>> = {
  DFT: {
    inputs: [1, 3],
    attributes: { axis: 'int', inverse: 'int', onesided: 'int' },
    infer: (node, where) => {
      const { dtype, shape } = inputOf(node, 0);
      const transform = dftLength(node, where);
      if (!shape || !transform) return [{ dtype, shape: undefined }];
      const [half, inverse] = [intOf(node, 'onesided', 0) === 1, intOf(node, 'inverse', 0) === 1];
      const extent = half && !inverse ? Math.floor(transform.length / 2) + 1 : transform.length;
      return [{ dtype, shape: [...shape.slice(0, -1).with(transform.axis, extent), half && inverse ? 1 : 2] }];
    },
  },
  STFT: {
    inputs: [2, 4],
    attributes: { onesided: 'int' },
    infer: (node) => {
      const { dtype, shape } = inputOf(node, 0);
      const step = knownInts(node.inputs[1])?.[0];
      const length = node.inputs[3] ? knownInts(node.inputs[3])?.[0] : node.inputs[2]?.shape?.[0];
      const extent = shape?.[1];
      if (!shape || !step || typeof length !== 'number' || typeof extent !== 'number') return [{ dtype, shape: shape && [shape[0], undefined, undefined, 2] }];
      return [{ dtype, shape: [shape[0], 1 + Math.floor((extent - length) / step), intOf(node, 'onesided', 1) === 1 ? Math.floor(length / 2) + 1 : length, 2] }];
    },
  },
};
