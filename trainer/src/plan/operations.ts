/** Multiply-accumulates of a graph, from the shapes of its convolutions and matrix products. */
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
    default: return 0;
  }
}
