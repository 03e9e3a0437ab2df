/** Damages models: bytes at random, and fields of the decoded message by values that no exporter writes. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, StringStringEntryProtoSchema, type AttributeProto, type GraphProto, type ModelProto, type NodeProto, type TensorProto } from '../../../export/src/onnx/generated/onnx_pb.js';

type Random = () => number;
const integers = [-(2 ** 53) + 1, -(2 ** 31), -1000, -2, -1, 0, 1, 2, 3, 5, 17, 64, 1000, 100_003, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 40, 2 ** 53 - 1];
const reals = [Number.NaN, Infinity, -Infinity, 0, -1, 1e-45, 1e38];
const texts = ['', 'NOTSET', 'SAME_UPPER', 'VALID', 'constant', 'reflect', 'nearest', 'cubic', 'align_corners', 'bii,bkj->bkj', '...', 'ä\u0000'];

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
const place = (random: Random, list: readonly unknown[]): number => Math.floor(random() * list.length);
const integer = (random: Random): bigint => BigInt(pick(random, integers));

function damageAttribute(random: Random, attribute: AttributeProto): void {
  switch (Math.floor(random() * 6)) {
    case 0: attribute.i = integer(random); break;
    case 1: if (attribute.ints.length > 0) attribute.ints[place(random, attribute.ints)] = integer(random); break;
    case 2: if (random() < 0.5) attribute.ints.pop(); else attribute.ints.push(integer(random)); break;
    case 3: attribute.f = pick(random, reals); break;
    case 4: attribute.s = new TextEncoder().encode(pick(random, texts)); break;
    default: attribute.type = Math.floor(random() * 15); break;
  }
}

function damageNode(random: Random, node: NodeProto, names: readonly string[], operators: readonly string[]): void {
  switch (Math.floor(random() * 7)) {
    case 0: if (node.input.length > 0) node.input[place(random, node.input)] = pick(random, names); break;
    case 1: node.input.pop(); break;
    case 2: node.input.push(pick(random, names)); break;
    case 3: node.opType = pick(random, operators); break;
    case 4: if (node.output.length > 0) node.output[place(random, node.output)] = pick(random, names); break;
    case 5: node.attribute.splice(place(random, [...node.attribute, 0]), 1); break;
    default: if (node.attribute.length > 0) damageAttribute(random, pick(random, node.attribute)); break;
  }
}

function damageTensor(random: Random, tensor: TensorProto): void {
  switch (Math.floor(random() * 4)) {
    case 0: tensor.dims[place(random, [...tensor.dims, 0])] = integer(random); break;
    case 1: tensor.dataType = Math.floor(random() * 30); break;
    case 2:
      // Axes, shapes, amounts of padding.
      if (tensor.dataType === 7 && tensor.rawData.length >= 8) {
        const copy = tensor.rawData.slice();
        new DataView(copy.buffer).setBigInt64(8 * Math.floor(random() * Math.floor(copy.length / 8)), integer(random), true);
        tensor.rawData = copy;
      } else if (tensor.rawData.length > 0) tensor.rawData = tensor.rawData.slice(0, Math.floor(random() * tensor.rawData.length));
      break;
    default: tensor.dataLocation = 1; tensor.externalData = [['location', pick(random, ['../w', 'w', '/w', ''])], ['offset', String(pick(random, integers))]].map(([key, value]) => create(StringStringEntryProtoSchema, { key: key!, value: value! })); break;
  }
}

/** The graph of a model and the bodies within it. */
const graphsOf = (graph: GraphProto): GraphProto[] => [graph, ...graph.node.flatMap(({ attribute }) => attribute.flatMap(({ g }) => (g ? graphsOf(g) : [])))];

function damageOnce(random: Random, model: ModelProto, operators: readonly string[]): void {
  if (!model.graph) return;
  const graph = pick(random, graphsOf(model.graph));
  const names = [...graph.input.map(({ name }) => name), ...graph.initializer.map(({ name }) => name), ...graph.node.flatMap(({ output }) => output), 'nowhere', ''];
  switch (Math.floor(random() * 9)) {
    case 0: case 1: case 2: case 3: if (graph.node.length > 0) damageNode(random, pick(random, graph.node), names, operators); break;
    case 4: case 5: if (graph.initializer.length > 0) damageTensor(random, pick(random, graph.initializer)); break;
    case 6: {
      const type = graph.input.length > 0 ? pick(random, graph.input).type?.value : undefined;
      if (type?.case !== 'tensorType') break;
      if (random() < 0.2) type.value.elemType = Math.floor(random() * 30);
      else if (type.value.shape && type.value.shape.dim.length > 0) {
        const dims = type.value.shape.dim;
        if (random() < 0.2) dims.pop();
        else pick(random, dims).value = random() < 0.3 ? { case: 'dimParam', value: pick(random, ['N', 'M', '4*N', '?', '2*']) } : { case: 'dimValue', value: integer(random) };
      }
      break;
    }
    case 7: if (graph.node.length > 1) [graph.node[0], graph.node[graph.node.length - 1]] = [graph.node.at(-1)!, graph.node[0]!]; break;
    default: if (model.opsetImport[0]) model.opsetImport[0].version = BigInt(pick(random, [0, 1, 12, 13, 15, 17, 18, 20, 23, 99])); break;
  }
}

/** A damaged copy of a well-formed model. */
export function damaged(random: Random, bytes: Uint8Array, operators: readonly string[]): Uint8Array {
  if (random() < 0.15) return bytes.slice(0, Math.floor(random() * bytes.length));
  if (random() < 0.25) {
    const copy = bytes.slice();
    for (let count = 1 + Math.floor(random() * 5); count > 0; count--) copy[place(random, copy as never)] = Math.floor(random() * 256);
    return copy;
  }
  const model = fromBinary(ModelProtoSchema, bytes);
  for (let count = 1 + Math.floor(random() * 3); count > 0; count--) damageOnce(random, model, operators);
  return toBinary(ModelProtoSchema, model);
}
