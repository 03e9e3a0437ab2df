/**
 * Replaces an `If` whose condition is known by the nodes of the branch that it takes, on the messages as they were read.
 * Exporters write such conditions where they compare shapes that turn out to be static.
 */
import { create } from '@bufbuild/protobuf';
import { renamed } from './functions.js';
import { NodeProtoSchema, type NodeProto, type TensorProto, type ValueInfoProto } from './generated/onnx_pb.js';

/** What stands for a node. */
export interface Branch {
  readonly nodes: NodeProto[];
  readonly initializers: readonly TensorProto[];
  readonly types: readonly ValueInfoProto[];
  /** Nodes that are in the form of current opsets whatever the model's opset. */
  readonly settled?: ReadonlySet<NodeProto>;
}

/**
 * The branch of an If node, its inner names made its own where they are taken.
 * @returns undefined where the node lacks the branch
 */
export function branchOf(node: NodeProto, taken: boolean, names: Set<string>): Branch | undefined {
  const graph = node.attribute.find(({ name }) => name === (taken ? 'then_branch' : 'else_branch'))?.g;
  if (!graph) return undefined;
  const inner = new Map<string, string>();
  for (const name of [...graph.node.flatMap(({ output }) => output), ...graph.initializer.map((tensor) => tensor.name)]) {
    if (name === '' || inner.has(name)) continue;
    let own = name;
    for (let suffix = 1; names.has(own); suffix++) own = `${node.name || 'If'}/${name}${suffix > 1 ? `_${suffix}` : ''}`;
    names.add(own);
    inner.set(name, own);
  }
  const rename = (name: string): string => inner.get(name) ?? name;
  const copies = graph.output.slice(0, node.output.length).flatMap((result, index) => (node.output[index]
    ? [create(NodeProtoSchema, { opType: 'Identity', name: `${node.name || 'If'}/result_${index}`, input: [rename(result.name)], output: [node.output[index]] })]
    : []));
  const own = <T extends { name: string }>(item: T): T => Object.assign(item, { name: rename(item.name) });
  return {
    nodes: [...graph.node.map((item) => renamed(item, rename, new Map(), '')), ...copies],
    initializers: graph.initializer.map(own), types: graph.valueInfo.map(own),
  };
}
