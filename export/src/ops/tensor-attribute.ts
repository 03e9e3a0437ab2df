/** Type and content of a Constant node, from whichever attribute holds its value. */
import { GraphError } from '../errors.js';
import { float32, int64, numbersOf, type Constant } from '../ir/constant.js';
import type { Node } from '../ir/types.js';
import { contentLimit, type OutputType } from './operator.js';

/** The constant that a Constant node holds, when it is a tensor. */
export function tensorOf(node: Node): Constant | undefined {
  const attribute = node.attributes.get('value');
  return attribute?.type === 'tensor' ? attribute.value : undefined;
}

/** What a Constant node holds, as a constant, whichever attribute holds it; undefined for strings and sparse tensors. */
export function constantOfNode(node: Node): Constant | undefined {
  const tensor = tensorOf(node);
  if (tensor) return tensor;
  for (const attribute of node.attributes.values()) {
    switch (attribute.type) {
      case 'int': return int64([attribute.value], []);
      case 'ints': return int64(attribute.value);
      case 'float': return float32([attribute.value], []);
      case 'floats': return float32(attribute.value);
      default: break;
    }
  }
  return undefined;
}

export function contentFromTensorAttribute(node: Node): OutputType {
  const tensor = tensorOf(node);
  if (tensor) {
    const small = tensor.dims.reduce((a, b) => a * b, 1) <= contentLimit && tensor.dtype !== 'string' && tensor.data instanceof Uint8Array;
    return { dtype: tensor.dtype, shape: tensor.dims, content: small ? numbersOf(tensor) : undefined };
  }
  for (const attribute of node.attributes.values()) {
    switch (attribute.type) {
      case 'int': return { dtype: 'int64', shape: [], content: [attribute.value] };
      case 'ints': return { dtype: 'int64', shape: [attribute.value.length], content: attribute.value };
      case 'float': return { dtype: 'float32', shape: [], content: [Math.fround(attribute.value)] };
      case 'floats': return { dtype: 'float32', shape: [attribute.value.length], content: attribute.value };
      case 'string': return { dtype: 'string', shape: [] };
      case 'strings': return { dtype: 'string', shape: [attribute.value.length] };
      case 'tensor': case 'graph': case 'opaque': break;
      default: attribute satisfies never;
    }
  }
  if (node.attributes.size > 0) return { dtype: undefined, shape: undefined };
  throw new GraphError(`Constant node ${JSON.stringify(node.name)} holds no value.`);
}
