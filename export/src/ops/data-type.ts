/** Element types by their ONNX code. */
import { dataTypeCodes, type DataType } from '../ir/types.js';

export type DataTypeCode = (typeof dataTypeCodes)[DataType];

export const elementTypeNames = Object.fromEntries(Object.entries(dataTypeCodes).map(([name, code]) => [code, name])) as Readonly<
  Record<DataTypeCode, DataType>
>;
