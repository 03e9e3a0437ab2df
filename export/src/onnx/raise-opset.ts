/**
 * Nodes of ai.onnx 7 to 12 in the form of version 13, on the messages as they were read: what were attributes becomes
 * inputs, operators that were renamed get their new name. Most of the models that people keep are this old.
 */
import { create } from '@bufbuild/protobuf';
import { UnsupportedError } from '../errors.js';
import { elementBytes, floats, int64, type Constant } from '../ir/constant.js';
import { dataTypeCodes, type Value } from '../ir/types.js';
import { attributeTypeCodes } from './attribute-types.js';
import type { Branch } from './fold-branches.js';
import { AttributeProtoSchema, NodeProtoSchema, TensorProtoSchema, type AttributeProto, type NodeProto, type TensorProto } from './generated/onnx_pb.js';

/** Versions that are raised, and the one that they are raised to. */
export const oldestRaised = 7;
export const raisedOpset = 13;
/** The IR version that belongs to it. */
export const raisedIrVersion = 7;

/** A node and what its new form needs beside it. */
class Raising {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly node: NodeProto;
  readonly #value: (name: string) => Value | undefined;
  readonly #names: Set<string>;

  constructor(node: NodeProto, value: (name: string) => Value | undefined, names: Set<string>) {
    [this.node, this.#value, this.#names] = [node, value, names];
  }

  get where(): string {
    return `${this.node.opType} node ${JSON.stringify(this.node.name || this.node.output[0])}`;
  }

  get input(): Value | undefined {
    return this.#value(this.node.input[0] ?? '');
  }

  name(what: string): string {
    const hint = `${this.node.name || this.node.output[0] || this.node.opType}/${what}`;
    let name = hint;
    for (let suffix = 2; this.#names.has(name); suffix++) name = `${hint}_${suffix}`;
    this.#names.add(name);
    return name;
  }

  /** Takes an attribute away. */
  take(name: string): AttributeProto | undefined {
    const found = this.node.attribute.find((attribute) => attribute.name === name);
    this.node.attribute = this.node.attribute.filter((attribute) => attribute !== found);
    return found;
  }

  constant(what: string, { dtype, dims, data }: Constant): string {
    const name = this.name(what);
    this.initializers.push(create(TensorProtoSchema, { name, dims: dims.map(BigInt), dataType: dataTypeCodes[dtype], rawData: data as Uint8Array }));
    return name;
  }

  ints(what: string): string {
    const found = this.take(what);
    // Not through numbers: the largest integer stands for "to the end".
    return found ? this.constant(what, { dtype: 'int64', dims: [found.ints.length], data: new Uint8Array(BigInt64Array.from(found.ints).buffer) }) : '';
  }

  /** A number of the type of the first input. */
  float(what: string, value: number): string {
    const dtype = this.input?.dtype;
    if (!dtype || elementBytes[dtype] === 0) throw new UnsupportedError(`${this.where} of an opset before ${raisedOpset}: the element type of its input is not known. Run shape inference on the model first.`);
    return this.constant(what, floats(dtype, [value], []));
  }

  set(name: string, value: string | number): void {
    this.take(name);
    this.node.attribute.push(typeof value === 'number'
      ? create(AttributeProtoSchema, { name, type: attributeTypeCodes.int, i: BigInt(value) })
      : create(AttributeProtoSchema, { name, type: attributeTypeCodes.string, s: new TextEncoder().encode(value) }));
  }
}

type Raise = (raising: Raising) => void;

const attributeToInput = (name: string): Raise => (r) => {
  const input = r.ints(name);
  if (input) r.node.input = [r.node.input[0]!, input];
};

/** Before, all axes from `axis` on were taken together. */
const flattened: Raise = (r) => {
  const { node, input } = r;
  const axis = Number(r.take('axis')?.i ?? 1);
  const rank = input?.shape?.length;
  if (rank !== undefined && (axis < 0 ? axis + rank : axis) === rank - 1) {
    r.set('axis', -1);
    return;
  }
  const [x, flat, result, shape] = [node.input[0]!, r.name('flat'), r.name('rows'), r.name('shape')];
  const made = (opType: string, inputs: string[], output: string, attribute: AttributeProto[] = []): NodeProto => create(NodeProtoSchema, { opType, name: r.name(opType), input: inputs, output: [output], attribute });
  const whole = (value: number): AttributeProto => create(AttributeProtoSchema, { name: 'axis', type: attributeTypeCodes.int, i: BigInt(value) });
  r.nodes.push(
    made('Flatten', [x], flat, [whole(axis)]), made(node.opType, [flat], result, [whole(1)]),
    made('Shape', [x], shape), made('Reshape', [result, shape], node.output[0]!),
  );
};

const resize: Raise = (r) => {
  const { node } = r;
  const scales = r.take('scales');
  const given = scales ? r.constant('scales', floats('float32', scales.floats)) : node.input[1] ?? '';
  const mode = r.take('mode')?.s;
  r.set('mode', (mode ? new TextDecoder().decode(mode) : 'nearest').replace(/^bi/, ''));
  node.opType = 'Resize';
  node.input = [node.input[0]!, '', given];
  r.set('coordinate_transformation_mode', 'asymmetric');
  r.set('nearest_mode', 'floor');
};

/** Operators by the first version whose form is today's. */
const raises: Readonly<Record<string, readonly [before: number, raise: Raise]>> = {
  Squeeze: [13, attributeToInput('axes')],
  Unsqueeze: [13, attributeToInput('axes')],
  ReduceSum: [13, attributeToInput('axes')],
  Split: [13, attributeToInput('split')],
  Softmax: [13, flattened], LogSoftmax: [13, flattened], Hardmax: [13, flattened],
  Dropout: [12, (r) => void r.take('ratio')],
  Clip: [11, (r) => {
    const [low, high] = [r.take('min'), r.take('max')];
    r.node.input = [r.node.input[0]!, low ? r.float('min', low.f) : '', high ? r.float('max', high.f) : ''];
  }],
  Pad: [11, (r) => {
    const value = r.take('value')?.f ?? 0;
    r.node.input = [r.node.input[0]!, r.ints('pads'), ...(value === 0 ? [] : [r.float('value', value)])];
  }],
  Scatter: [11, (r) => { r.node.opType = 'ScatterElements'; }],
  Resize: [11, resize], Upsample: [10, resize],
  Slice: [10, (r) => {
    const [starts, ends, axes] = [r.ints('starts'), r.ints('ends'), r.ints('axes')];
    r.node.input = [r.node.input[0]!, starts, ends, ...(axes ? [axes] : [])];
  }],
  TopK: [10, (r) => { r.node.input = [r.node.input[0]!, r.constant('k', int64([Number(r.take('k')?.i ?? 0)]))]; }],
  BatchNormalization: [9, (r) => {
    if (r.take('spatial')?.i === 0n) throw new UnsupportedError(`${r.where}: normalises every position by itself (spatial = 0), which no opset from 9 on knows.`);
  }],
};

/**
 * The node in the form of version 13, its new constants beside it.
 * @param version of ai.onnx that the node is of
 * @param value what is known of a value by its name
 * @param names all names that are taken
 * @returns undefined where nothing changes
 */
export function raised(node: NodeProto, version: number, value: (name: string) => Value | undefined, names: () => Set<string>): Branch | undefined {
  const [before, raise] = (['', 'ai.onnx'].includes(node.domain) ? raises[node.opType] : undefined) ?? [0];
  if (!raise || version >= before || node.input.length === 0) return undefined;
  const raising = new Raising(node, value, names());
  raise(raising);
  return { nodes: raising.nodes.length > 0 ? raising.nodes : [node], initializers: raising.initializers, types: [] };
}
