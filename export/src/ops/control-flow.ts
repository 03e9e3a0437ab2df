/** Loop, as the sampler graphs use it. */
import { GraphError } from '../errors.js';
import type { Operator } from './operator.js';

export const controlFlowOperators: Readonly<Record<string, Operator>> = {
  Loop: {
    inputs: [2, Infinity],
    attributes: { body: 'graph' },
    infer: (node, where) => {
      const body = node.attributes.get('body');
      if (body?.type !== 'graph') throw new GraphError(`${where}: lacks its body.`);
      const carried = node.inputs.length - 2;
      const { inputs, outputs } = body.value;
      if (inputs.length !== carried + 2 || outputs.length < carried + 1) {
        throw new GraphError(`${where}: with ${carried} carried values the body needs ${carried + 2} inputs and at least ${carried + 1} outputs, has ${inputs.length} and ${outputs.length}.`);
      }
      // Carried values keep their type; scanned outputs gain a leading axis of unknown extent.
      return outputs.slice(1).map((value, index) => index < carried
        ? { dtype: node.inputs[index + 2]?.dtype ?? value.dtype, shape: value.shape }
        : { dtype: value.dtype, shape: undefined });
    },
  },
};
