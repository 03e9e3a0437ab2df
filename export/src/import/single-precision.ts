/** Estimators that compute in half or double precision, brought to float32: the element type of every bundle. */
import { UnsupportedError } from '../errors.js';
import { floats, numbersOf, type Constant } from '../ir/constant.js';
import { dataTypeCodes, type Attribute, type DataType, type Graph } from '../ir/types.js';

const others: ReadonlySet<DataType | undefined> = new Set<DataType>(['float16', 'bfloat16', 'float64']);

export const isOtherFloat = (dtype: DataType | undefined): boolean => others.has(dtype);

/**
 * Turns every floating-point value of a graph into float32: constants, casts, inputs. Widening halves is exact;
 * doubles are rounded. Types must be inferred anew afterwards.
 * @throws {UnsupportedError} for a double that float32 cannot hold
 */
export function toSinglePrecision(graph: Graph): void {
  const constants = new Map<Constant, Constant>();
  const single = (constant: Constant, where: string): Constant => {
    if (!others.has(constant.dtype)) return constant;
    let made = constants.get(constant);
    if (!made) constants.set(constant, made = floats('float32', checkedNumbers(constant, where), constant.dims));
    return made;
  };
  const visit = (part: Graph): void => {
    for (const value of part.inputs) if (others.has(value.dtype)) value.dtype = 'float32';
    for (const [value, constant] of part.initializers) {
      part.initializers.set(value, single(constant, `Tensor ${JSON.stringify(value.name)}`));
      if (others.has(value.dtype)) value.dtype = 'float32';
    }
    for (const node of part.nodes) {
      for (const [name, attribute] of node.attributes) {
        const where = `${node.opType} node ${JSON.stringify(node.name)}, attribute ${name},`;
        if (attribute.type === 'tensor') node.attributes.set(name, { ...attribute, value: single(attribute.value, where) });
        else if (attribute.type === 'graph') visit(attribute.value);
        else if (typeAttributes.has(`${node.opType}.${name}`) && isOtherCode(attribute)) node.attributes.set(name, { type: 'int', value: dataTypeCodes.float32 });
      }
      for (const output of node.outputs) if (output && others.has(output.dtype)) output.dtype = 'float32';
    }
  };
  visit(graph);
}

/** Attributes that name an element type. */
const typeAttributes = new Set(['Cast.to', 'EyeLike.dtype', 'RandomNormal.dtype', 'RandomNormalLike.dtype', 'RandomUniform.dtype', 'RandomUniformLike.dtype', 'Bernoulli.dtype']);

const isOtherCode = (attribute: Attribute): boolean =>
  attribute.type === 'int' && [dataTypeCodes.float16, dataTypeCodes.bfloat16, dataTypeCodes.float64].some((code) => code === attribute.value);

function checkedNumbers(constant: Constant, where: string): number[] {
  const numbers = numbersOf(constant);
  const lost = numbers.find((number) => Number.isFinite(number) && !Number.isFinite(Math.fround(number)));
  if (lost !== undefined) throw new UnsupportedError(`${where} holds ${lost}, which float32 cannot: a bundle computes in float32. Export the estimator in float32.`);
  return numbers;
}
