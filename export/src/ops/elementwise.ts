/** Operators that work element by element, with NumPy broadcasting where there are several inputs. */
import type { DataType } from '../ir/types.js';
import { product, quotient, sum, type MaybeDim } from './symbolic.js';
import { elementTypeNames, type DataTypeCode } from './data-type.js';
import { broadcastShapes, inputOf, intOf, sameDtype, type AttributeKind, type Operator } from './operator.js';

const unary = (attributes: Record<string, AttributeKind> = {}, dtype?: DataType, inputs: [number, number] = [1, 1]): Operator => ({
  inputs,
  attributes,
  infer: (node) => {
    const x = inputOf(node, 0);
    return [{ dtype: dtype ?? x.dtype, shape: x.shape }];
  },
});

const variadic = (inputs: [number, number], dtype?: DataType, combine?: Combine): Operator => ({
  inputs,
  attributes: {},
  infer: (node, where) => {
    const shape = broadcastShapes(node.inputs.map((input) => input?.shape), where);
    const found = sameDtype(node, node.inputs.map((_, index) => index), where);
    const [a, b] = [node.inputs[0]?.content, node.inputs[1]?.content];
    return [{ dtype: dtype ?? found, shape, content: combine && node.inputs.length === 2 && a && b ? combineContents(a, b, numeric(combine, found)) : undefined }];
  },
});

type Combine = (a: MaybeDim, b: MaybeDim, floating: boolean) => MaybeDim;

/** The same on floating-point numbers, rounded as they are. */
const numeric = (combine: Combine, dtype: DataType | undefined): Combine => {
  if (!dtype?.includes('float')) return combine;
  return (a, b) => {
    if (dtype !== 'float32' && dtype !== 'float64') return undefined;
    const result = combine(a, b, true);
    return typeof result === 'number' && dtype === 'float32' ? Math.fround(result) : result;
  };
};

/** Arithmetic on numbers, and on symbols where integers allow it. */
const arithmetic = (plain: (a: number, b: number) => number, symbolic: (a: MaybeDim, b: MaybeDim) => MaybeDim): Combine => (a, b, floating) =>
  (floating && typeof a === 'number' && typeof b === 'number' ? plain(a, b) : symbolic(a, b));

function combineContents(a: readonly MaybeDim[], b: readonly MaybeDim[], combine: Combine): MaybeDim[] | undefined {
  if (a.length !== b.length && a.length !== 1 && b.length !== 1) return undefined;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, index) => combine(a[a.length === 1 ? 0 : index], b[b.length === 1 ? 0 : index], false));
}

/** Integer division as ONNX has it: towards zero. */
const integerQuotient = (a: MaybeDim, b: MaybeDim): MaybeDim => (typeof a === 'number' && typeof b === 'number' ? (b === 0 ? undefined : Math.trunc(a / b)) : quotient(a, b));
const extreme = (pick: (a: number, b: number) => number): Combine => (a, b) => (typeof a === 'number' && typeof b === 'number' ? pick(a, b) : a === b ? a : undefined);
/** Truth as 1 and 0. Extents are never negative; other unknown integers may be. */
const equality: Combine = (a, b) => {
  if (a === undefined || b === undefined) return undefined;
  if (typeof a === 'number' && typeof b === 'number') return Number(a === b);
  if (a === b) return 1;
  return [a, b].some((dim) => typeof dim === 'number' && dim < 0) && ![a, b].some((dim) => String(dim).includes('?=')) ? 0 : undefined;
};
/** Order of numbers; a value that is not known is still equal to itself. */
const ordering = (holds: (a: number, b: number) => boolean): Combine => (a, b) => {
  if (typeof a === 'number' && typeof b === 'number') return Number(holds(a, b));
  return a !== undefined && a === b ? Number(holds(0, 0)) : undefined;
};
const remainder: Combine = (a, b) => (typeof a === 'number' && typeof b === 'number' && b > 0 && a >= 0 ? a % b : undefined);

/** Truncates floating-point numbers that become integers; names of extents are integers already. */
function castContent(item: MaybeDim, from: DataType | undefined, to: DataType | undefined): MaybeDim {
  const integers: readonly (DataType | undefined)[] = ['int64', 'int32'];
  if (typeof item !== 'number') return integers.includes(from) || !String(item).includes('?=') ? item : undefined;
  if (to === 'bool') return Number(item !== 0);
  return integers.includes(to) ? Math.trunc(item) : to === 'float32' ? Math.fround(item) : to === 'float64' ? item : undefined;
}

/** Rounds what is a number, or takes its magnitude; an extent, whole and never negative, stays what it is. */
const rounding = (round: (x: number) => number): Operator => ({
  inputs: [1, 1],
  attributes: {},
  infer: (node) => {
    const { dtype, shape, content } = inputOf(node, 0);
    return [{ dtype, shape, content: content?.map((item) => (typeof item === 'number' ? round(item) : item.includes('?=') ? undefined : item)) }];
  },
});

export const elementwiseOperators: Readonly<Record<string, Operator>> = {
  Abs: rounding(Math.abs), Acos: unary(), Acosh: unary(), Asin: unary(), Asinh: unary(), Atan: unary(), Atanh: unary(),
  Ceil: rounding(Math.ceil), Cos: unary(), Cosh: unary(), Erf: unary(), Exp: unary(), Floor: rounding(Math.floor), HardSwish: unary(),
  Log: unary(), Mish: unary(), Neg: unary(), Reciprocal: unary(), Relu: unary(), Round: unary(), Sigmoid: unary(),
  Sign: unary(), Sin: unary(), Sinh: unary(), Softplus: unary(), Softsign: unary(), Sqrt: unary(), Tan: unary(), Tanh: unary(),
  Celu: unary({ alpha: 'float' }),
  Elu: unary({ alpha: 'float' }),
  Gelu: unary({ approximate: 'string' }),
  HardSigmoid: unary({ alpha: 'float', beta: 'float' }),
  LeakyRelu: unary({ alpha: 'float' }),
  Selu: unary({ alpha: 'float', gamma: 'float' }),
  ThresholdedRelu: unary({ alpha: 'float' }),
  Clip: unary({}, undefined, [1, 3]),
  Identity: { inputs: [1, 1], attributes: {}, infer: (node) => [inputOf(node, 0)] },
  Not: {
    inputs: [1, 1],
    attributes: {},
    infer: (node) => {
      const { shape, content } = inputOf(node, 0);
      return [{ dtype: 'bool', shape, content: content?.map((truth) => (typeof truth === 'number' ? Number(!truth) : undefined)) }];
    },
  },
  IsInf: unary({ detect_negative: 'int', detect_positive: 'int' }, 'bool'),
  Softmax: unary({ axis: 'int' }), LogSoftmax: unary({ axis: 'int' }), Hardmax: unary({ axis: 'int' }),
  Cast: {
    inputs: [1, 1],
    attributes: { to: 'int', saturate: 'int' },
    infer: (node) => {
      const x = inputOf(node, 0);
      const dtype = elementTypeNames[intOf(node, 'to', 0) as DataTypeCode];
      return [{ dtype, shape: x.shape, content: x.content?.map((item) => castContent(item, x.dtype, dtype)) }];
    },
  },
  Add: variadic([2, 2], undefined, arithmetic((a, b) => a + b, (a, b) => sum(a, b))),
  Sub: variadic([2, 2], undefined, arithmetic((a, b) => a - b, (a, b) => sum(a, b, -1))),
  Mul: variadic([2, 2], undefined, arithmetic((a, b) => a * b, (a, b) => product([a, b]))),
  Div: variadic([2, 2], undefined, arithmetic((a, b) => a / b, integerQuotient)),
  Pow: { ...variadic([2, 2]), infer: (node, where) => [{ dtype: inputOf(node, 0).dtype, shape: broadcastShapes(node.inputs.map((input) => input?.shape), where) }] },
  PRelu: { ...variadic([2, 2]), infer: (node, where) => [{ dtype: sameDtype(node, [0, 1], where), shape: inputOf(node, 0).shape }] },
  Mod: { ...variadic([2, 2], undefined, remainder), attributes: { fmod: 'int' } },
  Max: variadic([1, Infinity], undefined, extreme(Math.max)), Min: variadic([1, Infinity], undefined, extreme(Math.min)),
  Sum: variadic([1, Infinity]), Mean: variadic([1, Infinity]),
  And: variadic([2, 2], 'bool', (a, b) => (a === 0 || b === 0 ? 0 : typeof a === 'number' && typeof b === 'number' ? 1 : undefined)),
  Or: variadic([2, 2], 'bool', (a, b) => (a === 1 || b === 1 ? 1 : a === 0 && b === 0 ? 0 : undefined)),
  Xor: variadic([2, 2], 'bool'),
  Equal: variadic([2, 2], 'bool', equality),
  Greater: variadic([2, 2], 'bool', ordering((a, b) => a > b)), GreaterOrEqual: variadic([2, 2], 'bool', ordering((a, b) => a >= b)),
  Less: variadic([2, 2], 'bool', ordering((a, b) => a < b)), LessOrEqual: variadic([2, 2], 'bool', ordering((a, b) => a <= b)),
  IsNaN: unary({}, 'bool'),
  Shrink: unary({ bias: 'float', lambd: 'float' }),
  Swish: unary({ alpha: 'float' }),
  SwiGLU: unary({ alpha: 'float' }, undefined, [2, 2]),
  BitShift: { ...variadic([2, 2]), attributes: { direction: 'string' } },
  DequantizeLinear: {
    inputs: [2, 3],
    attributes: { axis: 'int', block_size: 'int', output_dtype: 'int' },
    infer: (node) => {
      const dtype = elementTypeNames[intOf(node, 'output_dtype', 0) as DataTypeCode] as DataType | undefined;
      return [{ dtype: dtype ?? inputOf(node, 1).dtype, shape: inputOf(node, 0).shape }];
    },
  },
  DynamicQuantizeLinear: {
    inputs: [1, 1],
    attributes: {},
    infer: (node) => [{ dtype: 'uint8', shape: inputOf(node, 0).shape }, { dtype: inputOf(node, 0).dtype, shape: [] }, { dtype: 'uint8', shape: [] }],
  },
  Dropout: {
    inputs: [1, 3],
    attributes: { seed: 'int' },
    infer: (node) => {
      const x = inputOf(node, 0);
      return [{ dtype: x.dtype, shape: x.shape }, { dtype: 'bool', shape: x.shape }];
    },
  },
  Where: {
    inputs: [3, 3],
    attributes: {},
    infer: (node, where) => {
      const [condition, yes, no] = node.inputs.map((input) => input?.content);
      const content = condition && yes && no && condition.length === yes.length && yes.length === no.length
        ? condition.map((truth, index) => (typeof truth === 'number' ? (truth ? yes : no)[index] : undefined))
        : undefined;
      return [{ dtype: sameDtype(node, [1, 2], where), shape: broadcastShapes(node.inputs.map((input) => input?.shape), where), content }];
    },
  },
};
