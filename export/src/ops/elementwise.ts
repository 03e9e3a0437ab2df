/** Operators that work element by element, with NumPy broadcasting where there are several inputs. */
import type { DataType, Dim } from '../ir/types.js';
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

const variadic = (inputs: [number, number], dtype?: DataType, combine?: (a: number, b: number) => number): Operator => ({
  inputs,
  attributes: {},
  infer: (node, where) => {
    const shape = broadcastShapes(node.inputs.map((input) => input?.shape), where);
    const found = sameDtype(node, node.inputs.map((_, index) => index), where);
    const [a, b] = [node.inputs[0]?.content, node.inputs[1]?.content];
    return [{ dtype: dtype ?? found, shape, content: combine && a && b ? combineContents(a, b, combine) : undefined }];
  },
});

function combineContents(a: readonly Dim[], b: readonly Dim[], combine: (a: number, b: number) => number): Dim[] | undefined {
  if (a.length !== b.length && a.length !== 1 && b.length !== 1) return undefined;
  const result: Dim[] = [];
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [x, y] = [a[a.length === 1 ? 0 : index]!, b[b.length === 1 ? 0 : index]!];
    if (typeof x !== 'number' || typeof y !== 'number') return undefined;
    result.push(combine(x, y));
  }
  return result;
}

const integerQuotient = (a: number, b: number): number => Math.trunc(a / b);

export const elementwiseOperators: Readonly<Record<string, Operator>> = {
  Abs: unary(), Acos: unary(), Acosh: unary(), Asin: unary(), Asinh: unary(), Atan: unary(), Atanh: unary(),
  Ceil: unary(), Cos: unary(), Cosh: unary(), Erf: unary(), Exp: unary(), Floor: unary(), HardSwish: unary(),
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
  Not: unary({}, 'bool'), IsNaN: unary({}, 'bool'), IsInf: unary({ detect_negative: 'int', detect_positive: 'int' }, 'bool'),
  Softmax: unary({ axis: 'int' }), LogSoftmax: unary({ axis: 'int' }), Hardmax: unary({ axis: 'int' }),
  Cast: {
    inputs: [1, 1],
    attributes: { to: 'int', saturate: 'int' },
    infer: (node) => {
      const x = inputOf(node, 0);
      const dtype = elementTypeNames[intOf(node, 'to', 0) as DataTypeCode];
      return [{ dtype, shape: x.shape, content: dtype === 'int64' || dtype === 'int32' ? x.content : undefined }];
    },
  },
  Add: variadic([2, 2], undefined, (a, b) => a + b),
  Sub: variadic([2, 2], undefined, (a, b) => a - b),
  Mul: variadic([2, 2], undefined, (a, b) => a * b),
  Div: variadic([2, 2], undefined, integerQuotient),
  Pow: { ...variadic([2, 2]), infer: (node, where) => [{ dtype: inputOf(node, 0).dtype, shape: broadcastShapes(node.inputs.map((input) => input?.shape), where) }] },
  PRelu: variadic([2, 2]),
  Mod: { ...variadic([2, 2]), attributes: { fmod: 'int' } },
  Max: variadic([1, Infinity]), Min: variadic([1, Infinity]), Sum: variadic([1, Infinity]), Mean: variadic([1, Infinity]),
  And: variadic([2, 2], 'bool'), Or: variadic([2, 2], 'bool'), Xor: variadic([2, 2], 'bool'),
  Equal: variadic([2, 2], 'bool'), Greater: variadic([2, 2], 'bool'), GreaterOrEqual: variadic([2, 2], 'bool'),
  Less: variadic([2, 2], 'bool'), LessOrEqual: variadic([2, 2], 'bool'),
  Where: {
    inputs: [3, 3],
    attributes: {},
    infer: (node, where) => [{ dtype: sameDtype(node, [1, 2], where), shape: broadcastShapes(node.inputs.map((input) => input?.shape), where) }],
  },
};
