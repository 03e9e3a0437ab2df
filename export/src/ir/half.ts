/** A float32 graph in half precision: the same nodes over float16 values, with constants rounded. */
import { GraphError, UnsupportedError } from '../errors.js';
import { float16Bits, type Constant } from './constant.js';
import { dataTypeCodes, type Attribute, type Graph, type Node, type Value } from './types.js';

/** Largest finite half; and what small constants that are not zero are kept at, so that nobody divides by zero. */
const [largest, smallest] = [65504, 1e-7];

/** Inputs that operators want in float32 whatever their data is: roi and scales. */
const alwaysFloat32: Readonly<Record<string, readonly number[]>> = { Resize: [1, 2] };

/**
 * A copy of a graph with float16 for float32 everywhere, inputs and outputs included. Constants beyond the range of a
 * half become the nearest that is finite; weights that are no masks should not be there.
 * @throws {UnsupportedError} for control flow, or a float32 that an operator insists on and the graph computes
 */
export function halfGraph(graph: Graph): Graph {
  const copies = new Map<Value, Value>();
  const copy = (value: Value): Value => {
    const known = copies.get(value);
    if (known) return known;
    const made: Value = { ...value, ...(value.dtype === 'float32' && { dtype: 'float16' as const }) };
    copies.set(value, made);
    return made;
  };
  const inputs = graph.inputs.map(copy);
  const initializers = new Map([...graph.initializers].map(([value, constant]) => [copy(value), halfConstant(constant, value.name)]));
  const kept = new Map<Value, Value>();
  const keep = (value: Value, node: Node): Value => {
    const constant = graph.initializers.get(value);
    if (!constant) throw new UnsupportedError(`${node.opType} node ${JSON.stringify(node.name)} wants float32 values that the graph computes; that has no half-precision form.`);
    const made = kept.get(value) ?? { ...value, name: `${value.name}_float32` };
    kept.set(value, made);
    initializers.set(made, constant);
    return made;
  };
  const nodes = graph.nodes.map((node): Node => ({
    ...node,
    inputs: node.inputs.map((value, index) => value && (value.dtype === 'float32' && alwaysFloat32[node.opType]?.includes(index) ? keep(value, node) : copy(value))),
    outputs: node.outputs.map((value) => value && copy(value)),
    attributes: halfAttributes(node),
  }));
  return { ...graph, inputs, initializers, nodes, outputs: graph.outputs.map(copy) };
}

const [float32Code, float16Code] = [dataTypeCodes.float32, dataTypeCodes.float16];

function halfAttributes(node: Node): Map<string, Attribute> {
  const where = `${node.opType} node ${JSON.stringify(node.name)}`;
  const attributes = new Map(node.attributes);
  for (const [name, attribute] of attributes) {
    if (attribute.type === 'graph') throw new UnsupportedError(`${where}: control flow has no half-precision form.`);
    if (attribute.type === 'tensor') attributes.set(name, { type: 'tensor', value: halfConstant(attribute.value, where) });
    const isType = (node.opType === 'Cast' && name === 'to') || name === 'dtype';
    if (isType && attribute.type === 'int' && attribute.value === float32Code) attributes.set(name, { type: 'int', value: float16Code });
  }
  const given = attributes.get('value_float') ?? attributes.get('value_floats');
  if (node.opType === 'Constant' && (given?.type === 'float' || given?.type === 'floats')) {
    const values = given.type === 'float' ? [given.value] : given.value;
    const data = new Uint8Array(Uint16Array.from(values, halfBits).buffer);
    return new Map([['value', { type: 'tensor', value: { dtype: 'float16', dims: given.type === 'float' ? [] : [values.length], data } }]]);
  }
  // Without a value, this operator makes float32 zeros.
  if (node.opType === 'ConstantOfShape' && !attributes.has('value')) attributes.set('value', { type: 'tensor', value: { dtype: 'float16', dims: [1], data: new Uint8Array(2) } });
  return attributes;
}

function halfConstant(constant: Constant, where: string): Constant {
  if (constant.dtype !== 'float32') return constant;
  if (!(constant.data instanceof Uint8Array)) throw new GraphError(`The elements of ${where} are not in memory, so that they cannot be rounded to half precision.`);
  // A copy at offset 0: the bytes may lie anywhere in a file.
  const values = new Float32Array(new Uint8Array(constant.data).buffer);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) halves[i] = halfBits(values[i]!);
  return { dtype: 'float16', dims: constant.dims, data: new Uint8Array(halves.buffer) };
}

function halfBits(value: number): number {
  if (value === 0 || Number.isNaN(value)) return float16Bits(value);
  const magnitude = Math.min(largest, Math.max(smallest, Math.abs(value)));
  return float16Bits(Math.sign(value) * magnitude);
}
