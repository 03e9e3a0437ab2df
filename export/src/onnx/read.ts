/**
 * ONNX bytes → Model, with every name resolved to its value and types inferred as far as they can be told.
 * Constants keep pointing into the bytes that were read; nothing is copied.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { RatioflowError } from '@ratioflow/sdk';
import { GraphError, ModelFormatError, UnsupportedError } from '../errors.js';
import { contentOf } from '../ir/builder.js';
import { byteSize, type Constant, type ExternalData } from '../ir/constant.js';
import type { Attribute, DataType, Dim, Graph, Model, Node, Value } from '../ir/types.js';
import { elementTypeNames, type DataTypeCode } from '../ops/data-type.js';
import { operatorOf } from '../ops/table.js';
import { checkExtents, knownInts, settle, showShape, type OutputType } from '../ops/operator.js';
import { anonymous } from '../ops/symbolic.js';
import { attributeTypeCodes } from './attribute-types.js';
import { branchOf, type Branch } from './fold-branches.js';
import { inlineFunctions } from './functions.js';
import { oldestRaised, raised, raisedIrVersion, raisedOpset } from './raise-opset.js';
import { unrolled, unrolledNodes, type UnrollBudget } from './unroll.js';
import { AttributeProtoSchema, ModelProtoSchema, type AttributeProto, type GraphProto, type ModelProto, type NodeProto, type TensorProto, type ValueInfoProto } from './generated/onnx_pb.js';

/** Gives the bytes of a tensor that lies outside the model, or undefined to leave it there. */
export type ExternalReader = (name: string, data: ExternalData) => Uint8Array | undefined;

/**
 * Parses a model and inlines its local functions. Operators of opsets 7 to 12 become those of opset 13; before IR version 4, initializers
 * listed among the inputs are constants.
 * @param external reads external data; absent: all stays where it is
 * @throws {ModelFormatError} for bytes that are no model, {GraphError} for graphs that contradict themselves
 */
export function readModel(bytes: Uint8Array, external?: ExternalReader): Model {
  let proto: ModelProto;
  try {
    proto = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw new ModelFormatError(`These ${bytes.byteLength} bytes are no ONNX model: ${(cause as Error).message}.`, { cause });
  }
  try {
    return modelOf(proto, bytes.byteLength, external);
  } catch (cause) {
    if (cause instanceof RatioflowError) throw cause;
    // Damaged files can hold values that no check above foresees; whoever calls sees one kind of error all the same.
    throw new ModelFormatError(`These ${bytes.byteLength} bytes are no well-formed ONNX model: ${(cause as Error).message}.`, { cause });
  }
}

/** What holds for all graphs of a model that is read. */
interface Reading {
  readonly external: ExternalReader | undefined;
  /** The version of ai.onnx that its nodes are raised from. */
  readonly raisedFrom: number | undefined;
  /** Whether initializers are constants although they are listed among the inputs, as they had to be before IR version 4. */
  readonly listsConstants: boolean;
  /** Nodes that loops may still become. */
  readonly budget: UnrollBudget;
}

function modelOf(proto: ModelProto, size: number, external: ExternalReader | undefined): Model {
  if (!proto.graph) throw new ModelFormatError(`These ${size} bytes hold no graph: is this an ONNX model file?`);
  inlineFunctions(proto);
  const opsets = new Map(proto.opsetImport.map((entry) => [entry.domain === 'ai.onnx' ? '' : entry.domain, Number(entry.version)]));
  const [opset, irVersion] = [opsets.get('') ?? 0, Number(proto.irVersion)];
  const raisedFrom = opset >= oldestRaised && opset < raisedOpset ? opset : undefined;
  const listsConstants = irVersion < 4;
  if (raisedFrom !== undefined) opsets.set('', raisedOpset);
  return {
    irVersion: Math.max(irVersion, raisedFrom !== undefined ? raisedIrVersion : listsConstants ? 4 : 0),
    opsets,
    producer: { name: proto.producerName, version: proto.producerVersion },
    docString: proto.docString,
    metadata: new Map(proto.metadataProps.map((entry) => [entry.key, entry.value])),
    graph: readGraph(proto.graph, new Map(), { external, raisedFrom, listsConstants, budget: { left: unrolledNodes } }),
    remainder: { functions: proto.functions, domain: proto.domain, modelVersion: proto.modelVersion, ...unknownOf(proto) },
  };
}

/** Fields that our part of the schema does not name. */
const unknownOf = (message: { $unknown?: unknown }): { $unknown?: unknown } => (message.$unknown ? { $unknown: message.$unknown } : {});

function readGraph(proto: GraphProto, outer: ReadonlyMap<string, Value>, reading: Reading): Graph {
  const { external, raisedFrom } = reading;
  const scope = new Map(outer);
  const own = new Set<string>();
  const declare = (value: Value, maker?: string): Value => {
    if (own.has(value.name)) throw new GraphError(`${maker ? `${maker}: the` : 'The'} name ${JSON.stringify(value.name)} is defined twice in graph ${JSON.stringify(proto.name)}.`);
    own.add(value.name);
    scope.set(value.name, value);
    return value;
  };
  const initializers = new Map<Value, Constant>();
  const constants = new Map(reading.listsConstants ? proto.initializer.map(({ name }) => [name, proto.input.find((info) => info.name === name)]) : []);
  const inputs: Value[] = proto.input.filter(({ name }) => !constants.has(name)).map((info) => declare(valueOf(info)));
  const addInitializer = (tensor: TensorProto): void => {
    const constant = constantOf(tensor, external);
    // An initializer may also be declared as an input: then it is that input's default.
    const value = inputs.find((input) => input.name === tensor.name) ?? declare({ name: tensor.name, dtype: constant.dtype, shape: constant.dims });
    const listed = constants.get(tensor.name);
    checkDeclaration(`Tensor ${JSON.stringify(tensor.name)}`, { dtype: constant.dtype, shape: constant.dims }, listed ? valueOf(listed) : value);
    const content = inputs.includes(value) ? undefined : contentOf(constant);
    if (content) value.content = content;
    initializers.set(value, constant);
  };
  proto.initializer.forEach(addInitializer);
  const annotations = new Map(proto.valueInfo.map((info) => [info.name, info]));
  for (const info of proto.output) annotations.set(info.name, info);
  const names = lazily(() => new Set([...scope.keys(), ...proto.node.flatMap(({ output }) => output)]));
  const nodes: Node[] = [];
  const pending = proto.node.toReversed();
  // What is declared of the result of an If speaks of both branches, of a Loop of any number of iterations.
  const eitherBranch = new Set<string>();
  const done = new Set<NodeProto>();
  for (let node = pending.pop(); node; node = pending.pop()) {
    const taken = takenBranch(node, scope, names) ?? (raisedFrom === undefined || raisedFrom >= 9 ? unrolled(node, (name) => scope.get(name), names, reading.budget) : undefined);
    const branch = taken ?? (raisedFrom === undefined || done.has(node) ? undefined : raised(node, raisedFrom, (name) => scope.get(name), names));
    if (branch) {
      if (taken) for (const output of node.output) eitherBranch.add(output);
      for (const item of taken ? taken.settled ?? [] : branch.nodes) done.add(item);
      for (const info of branch.types) annotations.set(info.name, info);
      branch.initializers.forEach(addInitializer);
      pending.push(...branch.nodes.toReversed());
    } else {
      const made = readNode(node, nodes.length, scope, declare, annotations, reading);
      nodes.push(made);
      for (const value of made.outputs) {
        const declared = value && !eitherBranch.has(value.name) ? annotations.get(value.name) : undefined;
        if (declared) checkDeclaration(`${made.opType} node ${JSON.stringify(made.name)}`, value!, valueOf(declared));
      }
    }
  }
  const outputs = proto.output.map((info) => {
    const value = scope.get(info.name);
    if (!value) throw new GraphError(`Output ${JSON.stringify(info.name)} of graph ${JSON.stringify(proto.name)} is made by no node.`);
    return value;
  });
  return { name: proto.name, inputs, outputs, initializers, nodes, remainder: { docString: proto.docString, ...unknownOf(proto) } };
}

/** Where what the model says of a value cannot be true of what makes it; extents that symbols leave open contradict nothing. */
function checkDeclaration(where: string, found: Pick<Value, 'dtype' | 'shape'>, declared: Value): void {
  const differ = <T>(a: T | undefined, b: T | undefined): boolean => a !== undefined && b !== undefined && a !== b;
  const [own, other] = [found.shape, declared.shape];
  const extents = own && other && (own.length !== other.length || own.some((dim, axis) => typeof dim === 'number' && typeof other[axis] === 'number' && dim !== other[axis]));
  if (!extents && !differ(found.dtype, declared.dtype)) return;
  throw new GraphError(`${where}: ${JSON.stringify(declared.name)} is ${found.dtype ?? ''} ${showShape(own)}, but the model declares it as ${declared.dtype ?? ''} ${showShape(other)}. Correct that declaration or remove it.`);
}

const lazily = <T>(make: () => T): (() => T) => {
  let value: T | undefined;
  return () => (value ??= make());
};

/** What stands for an If whose condition is known. */
function takenBranch(node: NodeProto, scope: ReadonlyMap<string, Value>, names: () => Set<string>): Branch | undefined {
  if (node.opType !== 'If' || !['', 'ai.onnx'].includes(node.domain)) return undefined;
  const condition = knownInts(scope.get(node.input[0] ?? ''));
  return condition?.length === 1 ? branchOf(node, condition[0] !== 0, names()) : undefined;
}

function readNode(
  proto: NodeProto, index: number, scope: ReadonlyMap<string, Value>, declare: (value: Value, maker?: string) => Value, annotations: ReadonlyMap<string, ValueInfoProto>,
  reading: Reading,
): Node {
  const name = proto.name || `${proto.opType}_${index}`;
  const where = `${proto.opType} node ${JSON.stringify(name)}`;
  const inputs = proto.input.map((input) => {
    if (input === '') return null;
    const value = scope.get(input);
    if (!value) throw new GraphError(`${where}: its input ${JSON.stringify(input)} is made by nothing before it.`);
    return value;
  });
  const domain = proto.domain === 'ai.onnx' ? '' : proto.domain;
  const attributes = new Map(proto.attribute.map((attribute) => [attribute.name, attributeOf(attribute, scope, reading)]));
  const node: Node = { name, opType: proto.opType, domain, inputs, outputs: [], attributes };
  if (proto.docString || proto.$unknown || proto.overload) node.remainder = { docString: proto.docString, overload: proto.overload, ...unknownOf(proto) };
  const inferred = domain !== '' ? undefined : proto.opType === 'If' ? eitherType(attributes) : operatorOf(proto.opType)?.infer(node, where, proto.output.length);
  checkExtents(inferred ?? [], where);
  node.outputs = proto.output.map((output, position) => {
    if (output === '') return null;
    const annotation = annotations.get(output);
    const value: Value = { ...(annotation && valueOf(annotation)), name: output, ...settle(output, inferred?.[position], annotation && valueOf(annotation)) };
    return declare(value, where);
  });
  return node;
}

/** What is true of the outputs of an If whichever branch it takes. */
function eitherType(attributes: ReadonlyMap<string, Attribute>): OutputType[] {
  const [some, others] = ['then_branch', 'else_branch'].map((name) => {
    const branch = attributes.get(name);
    return branch?.type === 'graph' ? branch.value.outputs : [];
  }) as [Value[], Value[]];
  return some.map(({ dtype, shape }, index) => {
    const other = others[index];
    const alike = shape && shape.length === other?.shape?.length;
    return { dtype: dtype === other?.dtype ? dtype : undefined, shape: alike ? shape.map((dim, axis) => (dim === other.shape![axis] ? dim : undefined)) : undefined };
  });
}

function valueOf(info: ValueInfoProto): Value {
  const type = info.type?.value;
  if (type?.case !== 'tensorType') return { name: info.name, dtype: undefined, shape: undefined, ...(info.type && { otherType: info.type }) };
  const shape = type.value.shape?.dim.map((dim, axis): Dim => {
    // Some exporters write −1 for an extent that is not known.
    if (dim.value.case === 'dimValue') return dim.value.value < 0n ? anonymous(info.name, axis) : Number(dim.value.value);
    return dim.value.case === 'dimParam' && dim.value.value ? dim.value.value : anonymous(info.name, axis);
  });
  return { name: info.name, dtype: elementTypeNames[type.value.elemType as DataTypeCode], shape };
}

function attributeOf(proto: AttributeProto, scope: ReadonlyMap<string, Value>, reading: Reading): Attribute {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  switch (proto.type) {
    case attributeTypeCodes.float: return { type: 'float', value: proto.f };
    case attributeTypeCodes.int: return { type: 'int', value: Number(proto.i) };
    case attributeTypeCodes.string: return { type: 'string', value: text(proto.s) };
    case attributeTypeCodes.floats: return { type: 'floats', value: proto.floats };
    case attributeTypeCodes.ints: return { type: 'ints', value: proto.ints.map(Number) };
    case attributeTypeCodes.strings: return { type: 'strings', value: proto.strings.map(text) };
    case attributeTypeCodes.tensor:
      if (proto.t) return { type: 'tensor', value: constantOf(proto.t, reading.external) };
      break;
    case attributeTypeCodes.graph:
      if (proto.g) return { type: 'graph', value: readGraph(proto.g, scope, reading) };
      break;
  }
  return { type: 'opaque', value: toBinary(AttributeProtoSchema, proto) };
}

function constantOf(proto: TensorProto, external: ExternalReader | undefined): Constant {
  const dtype = elementTypeNames[proto.dataType as DataTypeCode] as DataType | undefined;
  const name = JSON.stringify(proto.name);
  if (!dtype) throw new UnsupportedError(`Tensor ${name} has the element type ${proto.dataType}, which is not supported.`);
  const dims = proto.dims.map(Number);
  const bytes = byteSize(dtype, dims);
  if (dims.some((dim) => !Number.isSafeInteger(dim) || dim < 0) || !Number.isSafeInteger(bytes)) throw new ModelFormatError(`Tensor ${name} has the shape [${dims.join(', ')}].`);
  if (proto.dataLocation === 1) {
    const place = externalOf(proto, bytes);
    return { dtype, dims, data: external?.(proto.name, place) ?? place };
  }
  if (dtype === 'string') return { dtype, dims, data: proto.stringData.map((text) => new TextDecoder().decode(text)) };
  const data = proto.rawData.byteLength > 0 || bytes === 0 ? proto.rawData : typedData(proto, dtype);
  if (data.byteLength !== bytes) throw new ModelFormatError(`Tensor ${name} of shape [${dims.join(', ')}] holds ${data.byteLength} bytes, expected ${bytes}.`);
  return { dtype, dims, data };
}

function externalOf(proto: TensorProto, bytes: number): ExternalData {
  const entries = new Map(proto.externalData.map((entry) => [entry.key, entry.value]));
  const number = (key: string, fallback: number): number => {
    const value = Number(entries.get(key) ?? fallback);
    if (!Number.isSafeInteger(value) || value < 0) throw new ModelFormatError(`Tensor ${JSON.stringify(proto.name)}: external ${key} is ${JSON.stringify(entries.get(key))}.`);
    return value;
  };
  const location = entries.get('location') ?? '';
  const segments = location.split(/[\\/]/);
  if (location === '' || /^[\\/]|^[A-Za-z]:/.test(location) || segments.includes('..')) {
    throw new ModelFormatError(`Tensor ${JSON.stringify(proto.name)} refers to ${JSON.stringify(location)}, which is outside the model's folder: refused.`);
  }
  const length = number('length', bytes);
  if (length !== bytes) throw new ModelFormatError(`Tensor ${JSON.stringify(proto.name)} needs ${bytes} bytes, its external data has ${length}.`);
  return { location, offset: number('offset', 0), length };
}

function typedData(proto: TensorProto, dtype: DataType): Uint8Array {
  const view = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  switch (dtype) {
    case 'float32': return view(Float32Array.from(proto.floatData));
    case 'float64': return view(Float64Array.from(proto.doubleData));
    case 'int64': return view(BigInt64Array.from(proto.int64Data));
    case 'uint64': return view(BigUint64Array.from(proto.uint64Data));
    case 'uint32': return view(Uint32Array.from(proto.uint64Data, Number));
    case 'int32': return view(Int32Array.from(proto.int32Data));
    case 'int16': case 'uint16': case 'float16': case 'bfloat16': return view(Uint16Array.from(proto.int32Data));
    // One byte of packed elements in each number.
    case 'int8': case 'uint8': case 'bool': case 'float8e4m3fn': case 'float8e4m3fnuz': case 'float8e5m2': case 'float8e5m2fnuz': case 'float8e8m0':
    case 'uint4': case 'int4': case 'float4e2m1': case 'uint2': case 'int2': return view(Uint8Array.from(proto.int32Data));
    case 'complex64': return view(Float32Array.from(proto.floatData));
    case 'complex128': return view(Float64Array.from(proto.doubleData));
    case 'string': throw new GraphError('A string tensor has no numbers.');
    default: return dtype satisfies never;
  }
}
