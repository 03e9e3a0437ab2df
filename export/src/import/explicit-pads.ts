/** Paddings written out: `auto_pad` and absent `pads` mean the same in every engine only when they are numbers. */
import type { Graph, Node } from '../ir/types.js';
import { windowOf } from '../ops/convolution.js';
import { intsOf, stringOf } from '../ops/operator.js';

const windowed = new Set(['Conv', 'ConvTranspose', 'AveragePool', 'MaxPool', 'LpPool']);

/** Gives every sliding window explicit pads where its geometry is known; others are left as they are. */
export function writeExplicitPads(graph: Graph): void {
  for (const node of graph.nodes) {
    if (node.domain !== '' || !windowed.has(node.opType)) continue;
    const kernel = kernelOf(node);
    const spatial = node.inputs[0]?.shape?.slice(2);
    const automatic = stringOf(node, 'auto_pad', 'NOTSET').startsWith('SAME');
    if (!kernel || spatial?.length !== kernel.length) continue;
    // A transposed convolution's SAME depends on its output; what it does is left to the engine, and recorded.
    if (automatic && (node.opType === 'ConvTranspose' || spatial.some((extent) => typeof extent !== 'number'))) continue;
    const { begin, end } = windowOf(node, kernel, spatial, `${node.opType} node ${JSON.stringify(node.name)}`);
    if (node.opType === 'ConvTranspose' && node.attributes.has('output_shape')) continue;
    node.attributes.delete('auto_pad');
    node.attributes.set('pads', { type: 'ints', value: [...begin, ...end] });
  }
}

function kernelOf(node: Node): readonly number[] | undefined {
  const given = intsOf(node, 'kernel_shape');
  if (given) return given;
  const shape = node.inputs[1]?.shape?.slice(2);
  return shape?.every((extent) => typeof extent === 'number') ? (shape) : undefined;
}
