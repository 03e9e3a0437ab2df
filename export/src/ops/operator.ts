/** What we know of an operator: arity, attributes, and how the types of its outputs follow from its inputs. */
import { GraphError } from '../errors.js';
import type { Attribute, DataType, Dim, Node, Shape, Value } from '../ir/types.js';

export type AttributeKind = 'float' | 'int' | 'string' | 'tensor' | 'graph' | 'floats' | 'ints' | 'strings';

/** Type of one output, as far as it can be told. */
export interface OutputType {
  readonly dtype: DataType | undefined;
  readonly shape: Shape | undefined;
  readonly content?: readonly Dim[] | undefined;
}

export interface Operator {
  /** Fewest and most inputs. */
  readonly inputs: readonly [number, number];
  readonly attributes: Readonly<Record<string, AttributeKind>>;
  /** Output types of a node; throws GraphError, beginning with `where`, when the inputs contradict the operator. */
  readonly infer: (node: Node, where: string, outputCount: number) => OutputType[];
}

/** The n-th input of a node, which the operator requires. */
export function inputOf(node: Node, index: number): Value {
  const value = node.inputs[index];
  if (!value) throw new GraphError(`${node.opType} node ${JSON.stringify(node.name)} lacks its input ${index}.`);
  return value;
}

const attributeOf = (node: Node, name: string, type: Attribute['type']): unknown => {
  const attribute = node.attributes.get(name);
  if (attribute === undefined) return undefined;
  if (attribute.type !== type) {
    throw new GraphError(`${node.opType} node ${JSON.stringify(node.name)}: attribute ${name} is of type ${attribute.type}, expected ${type}.`);
  }
  return attribute.value;
};

export const intOf = (node: Node, name: string, fallback: number): number => (attributeOf(node, name, 'int') as number | undefined) ?? fallback;
export const floatOf = (node: Node, name: string, fallback: number): number => (attributeOf(node, name, 'float') as number | undefined) ?? fallback;
export const intsOf = (node: Node, name: string): readonly number[] | undefined => attributeOf(node, name, 'ints') as readonly number[] | undefined;
export const stringOf = (node: Node, name: string, fallback: string): string => (attributeOf(node, name, 'string') as string | undefined) ?? fallback;

/** A non-negative axis. */
export function normalizeAxis(axis: number, rank: number, where: string): number {
  const normalized = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normalized < 0 || normalized >= rank) {
    throw new GraphError(`${where}: axis ${axis} is outside a tensor of rank ${rank}.`);
  }
  return normalized;
}

/** Integers that an input holds, when all of them are known. */
export function knownInts(value: Value | null | undefined): readonly number[] | undefined {
  return value?.content?.every((dim) => typeof dim === 'number') ? (value.content) : undefined;
}

export const showShape = (shape: Shape | undefined): string => (shape ? `[${shape.join(', ')}]` : '[unknown]');

/** The shape that results from NumPy broadcasting; undefined when symbolic extents leave it open. */
export function broadcastShapes(shapes: readonly (Shape | undefined)[], where: string): Shape | undefined {
  const known = shapes.filter((shape) => shape !== undefined);
  if (known.length < shapes.length) return undefined;
  const rank = Math.max(...known.map((shape) => shape.length));
  const result: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    let extent: Dim = 1;
    for (const shape of known) {
      const dim = shape[axis - rank + shape.length] ?? 1;
      if (dim === extent || dim === 1) continue;
      if (extent === 1) extent = dim;
      else if (typeof dim === 'number' && typeof extent === 'number') {
        throw new GraphError(`${where}: shapes ${known.map(showShape).join(' and ')} do not broadcast.`);
      } else if (typeof dim === 'number') extent = dim;
      else if (typeof extent !== 'number') return undefined;
    }
    result.push(extent);
  }
  return result;
}

/** All given values must have one element type; returns it. */
export function sameDtype(node: Node, indices: readonly number[], where: string): DataType | undefined {
  let dtype: DataType | undefined;
  for (const index of indices) {
    const found = node.inputs[index]?.dtype;
    if (!found) continue;
    if (dtype && found !== dtype) throw new GraphError(`${where}: inputs have different element types, ${dtype} and ${found}.`);
    dtype = found;
  }
  return dtype;
}
