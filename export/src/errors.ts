/** Errors of the export stage: each names the node, layer or file at fault and what to do about it. */
import { RatioflowError } from '@ratioflow/sdk';

/** A graph that contradicts itself or the operators' definitions: arity, names, element types, shapes. */
export class GraphError extends RatioflowError {
  override name = 'GraphError';
}

/** Something that ONNX allows and we do not handle (yet): an operator without a rule, a layer without a converter. */
export class UnsupportedError extends RatioflowError {
  override name = 'UnsupportedError';
}

/** Bytes that are not a well-formed ONNX model. */
export class ModelFormatError extends RatioflowError {
  override name = 'ModelFormatError';
}
