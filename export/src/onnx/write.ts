/**
 * Model → ONNX bytes. Large constants can go to an external file that several graphs share (`ExternalStore`).
 */
import { create, fromBinary, toBinary, type MessageInitShape, type UnknownField } from '@bufbuild/protobuf';
import { GraphError } from '../errors.js';
import { elementBytes, type Constant } from '../ir/constant.js';
import { dataTypeCodes, type Attribute, type Graph, type Model, type Node, type Value } from '../ir/types.js';
import { isAnonymous } from '../ops/symbolic.js';
import {
  AttributeProtoSchema, ModelProtoSchema, type GraphProtoSchema, type NodeProtoSchema, type TensorProtoSchema,
  type TypeProtoSchema, type ValueInfoProtoSchema, type FunctionProto,
} from './generated/onnx_pb.js';
import { attributeTypeCodes } from './attribute-types.js';

/** Decides where a constant's bytes go: the place in an external file, or undefined to keep them in the model. */
export interface ExternalStore {
  /** The place for a constant, or undefined. It is asked more than once for each. */
  place(constant: Constant): { readonly location: string; readonly offset: number; readonly length: number } | undefined;
}

/** Largest message that protobuf can hold; constants may take all of it but what the nodes need. */
const largestModel = 2 ** 31 - 2 ** 24;

/**
 * Serializes a model.
 * @param store where large constants go; absent: everything stays inside
 * @throws {GraphError} when that is more than a protobuf message can hold
 */
export function writeModel(model: Model, store?: ExternalStore): Uint8Array {
  const inside = embeddedBytes(model.graph, store);
  if (inside > largestModel) {
    throw new GraphError(`Graph ${JSON.stringify(model.graph.name)} has ${inside} bytes of constants; an ONNX file holds at most 2 GiB in all. Keep the weights in external data (without --single-file; readModelFile leaves them in their file with keepBeyond).`);
  }
  const kept = model.remainder as { functions?: FunctionProto[]; domain?: string; modelVersion?: bigint; $unknown?: UnknownField[] } | undefined;
  const proto = create(ModelProtoSchema, {
    ...(kept?.domain && { domain: kept.domain }),
    ...(kept?.modelVersion && { modelVersion: kept.modelVersion }),
    irVersion: BigInt(model.irVersion),
    producerName: model.producer.name,
    producerVersion: model.producer.version,
    ...(model.docString && { docString: model.docString }),
    opsetImport: [...model.opsets].map(([domain, version]) => ({ domain, version: BigInt(version) })),
    metadataProps: [...model.metadata].map(([key, value]) => ({ key, value })),
    graph: graphProto(model.graph, store),
    functions: kept?.functions ?? [],
  });
  if (kept?.$unknown) proto.$unknown = kept.$unknown;
  return toBinary(ModelProtoSchema, proto);
}

/** Bytes of the constants that stay in the model. */
function embeddedBytes(graph: Graph, store: ExternalStore | undefined): number {
  let bytes = 0;
  for (const constant of graph.initializers.values()) {
    if (constant.data instanceof Uint8Array && !store?.place(constant)) bytes += constant.data.byteLength;
  }
  for (const node of graph.nodes) {
    for (const attribute of node.attributes.values()) {
      if (attribute.type === 'graph') bytes += embeddedBytes(attribute.value, store);
      else if (attribute.type === 'tensor' && attribute.value.data instanceof Uint8Array) bytes += attribute.value.data.byteLength;
    }
  }
  return bytes;
}

/** What a part of the model held beyond what the representation names. */
const remainderOf = (part: { remainder?: unknown }): object => {
  const { docString, overload, $unknown } = (part.remainder ?? {}) as { docString?: string; overload?: string; $unknown?: unknown };
  return { ...(docString && { docString }), ...(overload && { overload }), ...($unknown ? { $unknown } : {}) };
};

function graphProto(graph: Graph, store: ExternalStore | undefined): MessageInitShape<typeof GraphProtoSchema> {
  const interfaceValues = new Set([...graph.inputs, ...graph.outputs]);
  const inner = graph.nodes.flatMap((node) => node.outputs.filter((value) => value !== null)).filter((value) => !interfaceValues.has(value) && value.dtype && value.shape);
  return {
    name: graph.name,
    node: graph.nodes.map((node) => nodeProto(node, store)),
    initializer: [...graph.initializers].map(([value, constant]) => tensorProto(constant, value.name, store)),
    input: graph.inputs.map(valueInfo),
    output: graph.outputs.map(valueInfo),
    valueInfo: inner.map(valueInfo),
    ...remainderOf(graph),
  };
}

function nodeProto(node: Node, store: ExternalStore | undefined): MessageInitShape<typeof NodeProtoSchema> {
  return {
    name: node.name,
    opType: node.opType,
    ...(node.domain && { domain: node.domain }),
    input: node.inputs.map((value) => value?.name ?? ''),
    output: node.outputs.map((value) => value?.name ?? ''),
    attribute: [...node.attributes].map(([name, attribute]) => attributeProto(name, attribute, store)),
    ...remainderOf(node),
  };
}

const encoder = new TextEncoder();

function attributeProto(name: string, attribute: Attribute, store: ExternalStore | undefined): MessageInitShape<typeof AttributeProtoSchema> {
  if (attribute.type === 'opaque') return fromBinary(AttributeProtoSchema, attribute.value);
  const base = { name, type: attributeTypeCodes[attribute.type] };
  switch (attribute.type) {
    case 'float': return { ...base, f: attribute.value };
    case 'int': return { ...base, i: toInt64(attribute.value) };
    case 'string': return { ...base, s: encoder.encode(attribute.value) };
    case 'tensor': return { ...base, t: tensorProto(attribute.value, '', undefined) };
    case 'graph': return { ...base, g: graphProto(attribute.value, store) };
    case 'floats': return { ...base, floats: [...attribute.value] };
    case 'ints': return { ...base, ints: attribute.value.map(toInt64) };
    case 'strings': return { ...base, strings: attribute.value.map((text) => encoder.encode(text)) };
    default: return attribute satisfies never;
  }
}

/** Numbers beyond the range of int64 only arise from rounding its largest value. */
function toInt64(value: number): bigint {
  const wide = BigInt(value);
  const largest = 2n ** 63n - 1n;
  return wide > largest ? largest : wide;
}

function tensorProto(constant: Constant, name: string, store: ExternalStore | undefined): MessageInitShape<typeof TensorProtoSchema> {
  const base = { name, dims: constant.dims.map(BigInt), dataType: dataTypeCodes[constant.dtype] };
  const external = (place: { location: string; offset: number; length: number }): MessageInitShape<typeof TensorProtoSchema> => ({
    ...base,
    dataLocation: 1,
    externalData: [
      { key: 'location', value: place.location },
      { key: 'offset', value: String(place.offset) },
      { key: 'length', value: String(place.length) },
    ],
  });
  const placed = store?.place(constant);
  if (placed) return external(placed);
  if (constant.data instanceof Uint8Array) return { ...base, rawData: constant.data };
  if (elementBytes[constant.dtype] === 0) return { ...base, stringData: (constant.data as readonly string[]).map((text) => encoder.encode(text)) };
  return external(constant.data as { location: string; offset: number; length: number });
}

function valueInfo(value: Value): MessageInitShape<typeof ValueInfoProtoSchema> {
  if (!value.dtype) return { name: value.name, ...(value.otherType ? { type: value.otherType as MessageInitShape<typeof TypeProtoSchema> } : {}) };
  return {
    name: value.name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: dataTypeCodes[value.dtype],
          ...(value.shape && {
            shape: {
              dim: value.shape.map((dim) => typeof dim === 'number'
                ? { value: { case: 'dimValue' as const, value: BigInt(dim) } }
                : isAnonymous(dim) ? {} : { value: { case: 'dimParam' as const, value: dim } }),
            },
          }),
        },
      },
    },
  };
}
