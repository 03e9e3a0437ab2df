/** What we know of an operator: arity, attributes, and how the types of its outputs follow from its inputs. */
import { GraphError } from '../errors.js';
import type { Attribute, DataType, Dim, Node, Shape, Value } from '../ir/types.js';
import { anonymous, isAnonymous, product, type MaybeDim } from './symbolic.js';

export type AttributeKind = 'float' | 'int' | 'string' | 'tensor' | 'graph' | 'floats' | 'ints' | 'strings';

/** Type of one output, as far as it can be told. */
export interface OutputType {
  readonly dtype: DataType | undefined;
  /** Extents that cannot be told are undefined; so is the whole shape when the rank cannot be told. */
  readonly shape: readonly MaybeDim[] | undefined;
  /** Elements of a small integer tensor, as far as they can be told. */
  readonly content?: readonly MaybeDim[] | undefined;
}

/** Content is tracked for integer tensors of at most this many elements: enough for shapes and axes. */
export const contentLimit = 64;

/** What an inferred type says of a value of this name; `annotation` is what the model itself says of it. */
export function settle(name: string, type: OutputType | undefined, annotation?: Omit<Value, 'name'>): Omit<Value, 'name'> {
  const written = annotation?.shape;
  const shape = type?.shape
    ? type.shape.map((dim, axis): Dim => {
      const other = written?.length === type.shape!.length ? written[axis] : undefined;
      if (dim !== undefined && !(isAnonymous(dim) && other !== undefined)) return dim;
      return other ?? dim ?? anonymous(name, axis);
    })
    : written;
  const dtype = type?.dtype ?? annotation?.dtype;
  const content = settleContent(name, dtype, shape, type?.content);
  return { dtype, shape, ...(content && { content }) };
}

/** Refuses types that steering values of a damaged model come to: extents that are no whole numbers. */
export function checkExtents(types: readonly OutputType[], where: string): void {
  const wrong = types.find(({ shape }) => shape?.some((dim) => typeof dim === 'number' && !(Number.isSafeInteger(dim) && dim >= 0)));
  if (wrong) throw new GraphError(`${where} would make a tensor of shape ${showShape(wrong.shape)}: extents are whole numbers, from 0.`);
}

/** Elements of a small integer tensor in C order: what is known of them, and a name for each of the others. */
function settleContent(name: string, dtype: DataType | undefined, shape: Shape | undefined, content: readonly MaybeDim[] | undefined): readonly Dim[] | undefined {
  const count = shape && product(shape);
  if (typeof count !== 'number' || count > contentLimit) return undefined;
  const integer = dtype === 'int64' || dtype === 'int32' || dtype === 'bool';
  const known = content?.length === count ? content : integer ? Array.from({ length: count }, () => undefined) : undefined;
  return known?.map((dim, index) => dim ?? anonymous(name, index, 'content'));
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
/** Attributes are single precision in ONNX, whatever the type of the tensors; so are their defaults. */
export const floatOf = (node: Node, name: string, fallback: number): number => Math.fround((attributeOf(node, name, 'float') as number | undefined) ?? fallback);
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

export const showShape = (shape: readonly MaybeDim[] | undefined): string => (shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}]` : '[unknown]');

/** The shape that results from NumPy broadcasting; extents that symbols leave open are undefined. */
export function broadcastShapes(shapes: readonly (readonly MaybeDim[] | undefined)[], where: string): readonly MaybeDim[] | undefined {
  const known = shapes.filter((shape) => shape !== undefined);
  if (known.length < shapes.length) return undefined;
  const rank = Math.max(0, ...known.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis): MaybeDim => {
    const dims = known.map((shape) => (axis - rank + shape.length < 0 ? 1 : shape[axis - rank + shape.length])).filter((dim) => dim !== 1);
    const numbers = dims.filter((dim) => typeof dim === 'number');
    if (numbers.some((dim) => dim !== numbers[0])) throw new GraphError(`${where}: shapes ${known.map(showShape).join(' and ')} do not broadcast.`);
    // A number other than 1 settles the extent, whatever the symbols beside it stand for.
    if (numbers.length > 0) return numbers[0];
    return dims.every((dim) => dim === dims[0]) ? (dims.length > 0 ? dims[0] : 1) : undefined;
  });
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
