/** Converters of TensorFlow operators, by name. What is not here is refused by name. */
import { convolutionNodes } from './convolution.js';
import { dilationNodes } from './dilation.js';
import { elementwiseNodes } from './elementwise.js';
import { fillingNodes } from './filling.js';
import type { NodeConverter } from './graph-tensor.js';
import { computingNodes } from './computing.js';
import { shapingNodes } from './shaping.js';
import { slicingNodes } from './slicing.js';

export const nodeConverters: Readonly<Record<string, NodeConverter>> = {
  ...computingNodes,
  ...convolutionNodes,
  ...dilationNodes,
  ...elementwiseNodes,
  ...fillingNodes,
  ...shapingNodes,
  ...slicingNodes,
};
