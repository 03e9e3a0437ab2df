/** Multiply-accumulates of a graph, from the shapes of its convolutions, matrix products and recurrent layers. */
import type { Model, Node } from '@ratioflow/export';

/** For one sample: the batch extent counts as 1. Other operators are left out; they are a few per cent. */
export function multiplyAccumulates({ graph }: Model): number {
  return graph.nodes.reduce((sum, node) => sum + ofNode(node), 0);
}

function ofNode({ opType, inputs, outputs, attributes }: Node): number {
  const extents = (value: Node['outputs'][number] | undefined): number[] => (value?.shape ?? []).map((extent) => (typeof extent === 'number' ? extent : 1));
  const product = (values: readonly number[]): number => values.reduce((a, b) => a * b, 1);
  const [x, w] = [extents(inputs[0]), extents(inputs[1])];
  switch (opType) {
    // Kernel [out, in / group, …window]: each output element sums over in / group × window.
    case 'Conv': return product(extents(outputs[0])) * product(w.slice(1));
    // Kernel [in, out / group, …window]: each input element goes to out / group × window.
    case 'ConvTranspose': return product(x) * product(w.slice(1));
    case 'MatMul': return product(extents(outputs[0])) * (x.at(-1) ?? 1);
    case 'Gemm': return product(extents(outputs[0])) * ((attributes.get('transA') as { value?: unknown } | undefined)?.value ? x[0]! : x[1]!);
    // Each output element sums over the letters that the result lacks.
    case 'Einsum': return inputs.length < 2 ? 0 : product(extents(outputs[0])) * product(summedExtents(attributes, inputs.map((value) => extents(value ?? undefined))));
    // Sequence [steps, N, in]; kernels of input and state, for each direction and gate.
    case 'RNN':
    case 'GRU':
    case 'LSTM': return (x[0] ?? 1) * (product(w) + product(extents(inputs[2])));
    default: return 0;
  }
}

function summedExtents(attributes: Node['attributes'], shapes: readonly (readonly number[])[]): number[] {
  const { value: equation } = attributes.get('equation') as { readonly value: string };
  const [left = '', right = ''] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  const letters = new Set(left.replaceAll(/[^A-Za-z]/g, ''));
  return [...letters].filter((letter) => !right.includes(letter)).map((letter) => {
    const operand = terms.findIndex((term) => term.includes(letter));
    const [term, shape] = [terms[operand]!, shapes[operand]!];
    const [at, rest] = [term.indexOf(letter), term.indexOf('...')];
    // Axes behind an ellipsis are counted from the end.
    return shape.at(rest >= 0 && at > rest ? at - term.length : at)!;
  });
}
