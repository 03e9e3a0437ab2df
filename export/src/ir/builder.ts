/**
 * Adds checked nodes to a graph. Arity, attributes, element types and shapes are checked when a node is added, against
 * the table of operators, not when an engine stumbles; every output comes with its inferred type.
 */
import { GraphError } from '../errors.js';
import { constantOfNode } from '../ops/tensor-attribute.js';
import { operatorOf } from '../ops/table.js';
import { checkExtents, contentLimit, settle, type AttributeKind } from '../ops/operator.js';
import { emittedOpset } from './model.js';
import { elementCount, floats, int64, isReadable, numbersOf, type Constant } from './constant.js';
import type { Attribute, DataType, Graph, Node, Shape, Value } from './types.js';

/** Attributes as plain JavaScript; the operator's definition decides how each is stored. */
export type AttributeValues = Readonly<Record<string, number | string | readonly number[] | readonly string[] | Constant | Graph | undefined>>;

/** A value, or nothing where an optional input is left out. */
export type Input = Value | null;

/** Makes a graph node by node; names, element types and shapes are checked and inferred as each is added. */
export class GraphBuilder {
  readonly graph: Graph;
  /** Who holds each name, in this graph and in those around it. */
  readonly #names: Map<string, Value>;
  readonly #constants = new Map<string, Value>();
  readonly #nextSuffix = new Map<string, number>();
  readonly #makers = new Map<Value, Node>();
  #indexed = 0;
  #indexedList: readonly Node[] | undefined;
  readonly #outer: GraphBuilder | undefined;
  readonly #nodeNames: Set<string>;
  #nodeCount = 0;
  /** Version of ai.onnx that the nodes added here must be valid at. */
  readonly opset: number;

  /** @param parent builder of the graph around this one, whose values may be used here and whose names are taken */
  constructor(name: string, graph?: Graph, parent?: GraphBuilder, opset: number = parent?.opset ?? emittedOpset) {
    this.opset = opset;
    this.#outer = parent;
    this.graph = graph ?? { name, inputs: [], outputs: [], initializers: new Map(), nodes: [] };
    this.#names = parent ? parent.#names : new Map<string, Value>();
    this.#nodeNames = parent ? parent.#nodeNames : new Set();
    this.#take(this.graph);
  }

  #take(graph: Graph): void {
    for (const value of valuesOf(graph)) this.#names.set(value.name, value);
    this.#nodeCount += graph.nodes.length;
    for (const node of graph.nodes) {
      this.#nodeNames.add(node.name);
      for (const attribute of node.attributes.values()) if (attribute.type === 'graph') this.#take(attribute.value);
    }
  }

  /** A new value under a name that nothing else in the model has, starting with `hint`. */
  value(hint: string, type: Omit<Value, 'name'>): Value {
    let name = hint;
    let suffix = this.#nextSuffix.get(hint) ?? 1;
    while (this.#names.has(name)) name = `${hint}_${suffix++}`;
    this.#nextSuffix.set(hint, suffix);
    const value: Value = { ...type, name };
    this.#names.set(name, value);
    return value;
  }

  /** A name for a node that no other has: ONNX Runtime refuses some graphs where two share one. */
  nodeName(hint: string): string {
    let name = `${hint}_${this.#nodeCount++}`;
    while (this.#nodeNames.has(name)) name = `${hint}_${this.#nodeCount++}`;
    this.#nodeNames.add(name);
    return name;
  }

  /** Gives a value exactly this name; an inner value that holds it gives way. */
  #rename(value: Value, name: string): void {
    const holder = this.#names.get(name);
    if (holder === value) return;
    this.#names.delete(value.name);
    if (holder) {
      if (this.graph.inputs.includes(holder) || this.graph.outputs.includes(holder)) {
        throw new GraphError(`The name ${JSON.stringify(name)} is already taken by an input or output of graph ${this.graph.name}.`);
      }
      this.#names.delete(name);
      this.#names.set(name, value);
      const { name: moved } = this.value(`${name}_inner`, holder);
      holder.name = moved;
      this.#names.set(moved, holder);
    }
    value.name = name;
    this.#names.set(name, value);
  }

  /** Declares a graph input under exactly this name. */
  input(name: string, dtype: DataType, shape: Shape): Value {
    const value = this.value(`${name}_input`, { dtype, shape });
    this.#rename(value, name);
    this.graph.inputs.push(value);
    return value;
  }

  /** Makes `value` a graph output under exactly this name (through an Identity where the name must change). */
  output(name: string, value: Value): Value {
    const made = this.makerOf(value) !== undefined;
    const result = made && (value.name === name || !this.graph.outputs.includes(value)) ? value : this.op('Identity', [value]);
    this.#rename(result, name);
    this.graph.outputs.push(result);
    return result;
  }

  /** Adds an initializer; a parameter keeps its name, so that people find it again. */
  initializer(name: string, constant: Constant): Value {
    const content = contentOf(constant);
    const value = this.value(name, { dtype: constant.dtype, shape: constant.dims, ...(content && { content }) });
    this.graph.initializers.set(value, constant);
    return value;
  }

  /** A constant; equal small constants are stored once. */
  constant(constant: Constant, hint = 'const'): Value {
    const count = elementCount(constant.dims);
    if (count > contentLimit || !(constant.data instanceof Uint8Array)) return this.initializer(hint, constant);
    const key = `${constant.dtype}[${constant.dims.join()}]${Array.from(constant.data).join()}`;
    let value = this.#constants.get(key);
    if (!value) {
      value = this.initializer(hint, constant);
      this.#constants.set(key, value);
    }
    return value;
  }

  /** An int64 vector, for shapes, axes, pads. */
  ints(values: readonly number[]): Value {
    return this.constant(int64(values), 'ints');
  }

  /** A scalar of the same element type as `like`. */
  scalar(value: number, like: Value | DataType): Value {
    const dtype = typeof like === 'string' ? like : dtypeOf(like);
    return this.constant(floats(dtype, [value], []), 'scalar');
  }

  /** The numbers of a constant value, or undefined when it is not constant (or not in memory). */
  constantNumbers(value: Value): number[] | undefined {
    if (value.content?.every((dim) => typeof dim === 'number')) return value.content as number[];
    const constant = this.constantOf(value);
    return constant && constant.data instanceof Uint8Array && isReadable(constant.dtype) ? numbersOf(constant) : undefined;
  }

  /** The constant that a value always is: an initializer that is no input, or what a Constant node holds. */
  constantOf(value: Value): Constant | undefined {
    const constant = this.graph.initializers.get(value) ?? this.#outer?.constantOf(value);
    if (constant) return this.graph.inputs.includes(value) ? undefined : constant;
    const maker = this.makerOf(value);
    switch (maker?.opType) {
      case 'Constant': return constantOfNode(maker);
      // The elements stay what they are; only their arrangement changes.
      case 'Identity': case 'Reshape': case 'Unsqueeze': case 'Squeeze': return maker.inputs[0] ? this.constantOf(maker.inputs[0]) : undefined;
      default: return undefined;
    }
  }

  /** The node of this graph that makes a value. */
  makerOf(value: Value): Node | undefined {
    const { nodes } = this.graph;
    if (nodes !== this.#indexedList || nodes.length < this.#indexed) [this.#indexedList, this.#indexed] = [nodes, 0];
    for (; this.#indexed < nodes.length; this.#indexed++) {
      const node = nodes[this.#indexed]!;
      for (const output of node.outputs) if (output) this.#makers.set(output, node);
    }
    return this.#makers.get(value);
  }

  /** Adds a node with one output. */
  op(opType: string, inputs: readonly Input[], attributes: AttributeValues = {}, hint?: string): Value {
    return this.ops(opType, inputs, attributes, 1, hint)[0]!;
  }

  /** Adds a node with several outputs. */
  ops(opType: string, inputs: readonly Input[], attributes: AttributeValues, outputCount: number, hint?: string): Value[] {
    const operator = operatorOf(opType);
    const name = this.nodeName(hint ?? opType);
    const where = `${opType} node ${JSON.stringify(name)}`;
    if (!operator) throw new GraphError(`${where}: the builder does not know this operator.`);
    const trimmed = trimAbsent(inputs);
    const [fewest, most] = operator.inputs;
    if (trimmed.length < fewest || trimmed.length > most) {
      throw new GraphError(`${where} takes ${fewest === most ? fewest : `${fewest} to ${most}`} inputs, got ${trimmed.length}.`);
    }
    const typed = new Map<string, Attribute>();
    for (const [key, given] of Object.entries(attributes)) {
      if (given === undefined) continue;
      const kind = operator.attributes[key];
      if (!kind) throw new GraphError(`${where} has no attribute ${JSON.stringify(key)}: it has ${Object.keys(operator.attributes).join(', ') || 'none'}.`);
      typed.set(key, typedAttribute(kind, given, `${where}, attribute ${key}`));
    }
    const node: Node = { name, opType, domain: '', inputs: trimmed, outputs: [], attributes: typed };
    const types = operator.infer(node, where, outputCount);
    checkExtents(types, where);
    if (types.length < outputCount) throw new GraphError(`${where} has ${types.length} outputs, ${outputCount} were asked for.`);
    const outputs = types.slice(0, outputCount).map((type, index) => {
      const value = this.value(`${hint ?? opType}_out${index || ''}`, { dtype: type.dtype, shape: undefined });
      return Object.assign(value, settle(value.name, type));
    });
    node.outputs = outputs;
    this.graph.nodes.push(node);
    return outputs;
  }

  /**
   * The shape of `value` as an int64 vector: a constant when all extents are known; with one symbolic extent a constant
   * that holds −1 in its place, which is all that Reshape needs; otherwise a Shape node.
   */
  reshapeTarget(value: Value): Value {
    const shape = value.shape;
    if (shape && shape.filter((dim) => typeof dim !== 'number').length <= 1 && !shape.includes(0)) {
      return this.ints(shape.map((dim) => (typeof dim === 'number' ? dim : -1)));
    }
    return this.op('Shape', [value]);
  }
}

/** An element type or shape that a rule needs and that nothing tells. */
export class UnknownTypeError extends GraphError {}

/** Element type of a value that must have one. */
export function dtypeOf(value: Value): DataType {
  if (!value.dtype) throw new UnknownTypeError(`The element type of ${JSON.stringify(value.name)} is not known: run shape inference on the model first.`);
  return value.dtype;
}

/** Shape of a value that must have one. */
export function shapeOf(value: Value): Shape {
  if (!value.shape) throw new UnknownTypeError(`The shape of ${JSON.stringify(value.name)} is not known: run shape inference on the model first.`);
  return value.shape;
}

/** Every value that a graph mentions, its subgraphs not included. */
export function* valuesOf(graph: Graph): Generator<Value> {
  yield* graph.inputs;
  yield* graph.initializers.keys();
  for (const node of graph.nodes) for (const value of node.outputs) if (value) yield value;
}

/** Elements of a small numeric constant in C order, as far as inference needs them. */
export function contentOf(constant: Constant): number[] | undefined {
  const numeric = ['int64', 'int32', 'bool', 'float32', 'float64'].includes(constant.dtype);
  return numeric && elementCount(constant.dims) <= contentLimit && constant.data instanceof Uint8Array ? numbersOf(constant) : undefined;
}

function trimAbsent(inputs: readonly Input[]): Input[] {
  let length = inputs.length;
  while (length > 0 && inputs[length - 1] === null) length--;
  return inputs.slice(0, length);
}

function typedAttribute(kind: AttributeKind, given: unknown, where: string): Attribute {
  const fail = (): never => {
    throw new GraphError(`${where}: expected ${kind}, got ${JSON.stringify(given)}.`);
  };
  switch (kind) {
    case 'float': return typeof given === 'number' ? { type: kind, value: given } : fail();
    case 'int': return Number.isSafeInteger(given) ? { type: kind, value: given as number } : fail();
    case 'string': return typeof given === 'string' ? { type: kind, value: given } : fail();
    case 'ints': return Array.isArray(given) && given.every(Number.isSafeInteger) ? { type: kind, value: given as number[] } : fail();
    case 'floats': return Array.isArray(given) && given.every((item) => typeof item === 'number') ? { type: kind, value: given } : fail();
    case 'strings': return Array.isArray(given) && given.every((item) => typeof item === 'string') ? { type: kind, value: given } : fail();
    case 'graph': return { type: kind, value: given as Graph };
    case 'tensor': return { type: kind, value: given as Constant };
    default: return kind satisfies never;
  }
}
