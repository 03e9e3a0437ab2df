/**
 * The residual estimators: a 3×3 stem, blocks, global average pool, one number (arXiv 2303.03714, appendix; METHOD's table).
 * `resnet28` is a small one of our own for 28×28 digits.
 */
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { selfAttention } from './attention.js';
import { blocksOf } from './blocks.js';
import type { EstimatorOptions } from './options.js';

export const residualNames = ['resnet28', 'resnet32', 'resnet64', 'resnet64-shallow', 'resnet128'] as const;
export type ResidualName = (typeof residualNames)[number];

interface Plan {
  /** Filters of the stem. */
  readonly stem: number;
  /** Filters and stride of each block. */
  readonly blocks: readonly (readonly [filters: number, stride: number])[];
  /** Number of blocks before self-attention, where it is asked for. */
  readonly attendAfter: number;
  /** Whether it has self-attention when nothing is said. @default false */
  readonly attends?: boolean;
}

const plans: Readonly<Record<ResidualName, Plan>> = {
  resnet28: { stem: 32, blocks: [[32, 2], [64, 2], [64, 1], [64, 2]], attendAfter: 3 },
  resnet32: { stem: 128, blocks: [[128, 1], [128, 1], [128, 1], [256, 2], [256, 1], [256, 1], [256, 2], [256, 1], [256, 1], [256, 2], [256, 1], [256, 1]], attendAfter: 3 },
  resnet64: { stem: 64, blocks: [[64, 2], [128, 2], [128, 1], [256, 2], [256, 1], [256, 2], [256, 1]], attendAfter: 3 },
  'resnet64-shallow': { stem: 64, blocks: [[64, 2], [128, 2], [128, 2], [256, 2]], attendAfter: 2, attends: true },
  resnet128: { stem: 64, blocks: [[64, 2], [128, 2], [128, 2], [128, 1], [256, 2], [256, 1], [256, 2], [256, 1]], attendAfter: 4 },
};

/**
 * Numbers of filters are multiples of this: vector units want it so, and TensorFlow 2.21's filter gradient of a strided 1×1
 * convolution writes outside its memory on a CPU when there are fewer input channels.
 */
const group = 16;

export function residual(tf: TensorFlow, name: ResidualName, sampleShape: readonly number[], options: EstimatorOptions = {}): LayersModel {
  const plan = plans[name];
  const { conv1x1, conv3x3, activation, basicBlock, head } = blocksOf(tf, options);
  const filters = (count: number): number => Math.max(1, Math.round((count * (options.width ?? 1)) / group)) * group;
  const [channels, height, width] = sampleShape as [number, number, number];
  const input = tf.input({ shape: [height, width, channels], name: 'x' });
  let x: SymbolicTensor = activation(conv3x3(input, filters(plan.stem), 1, 'stem'), 'stem_act');
  plan.blocks.forEach(([count, stride], index) => {
    x = basicBlock(x, filters(count), stride, `block${index + 1}`);
    if (index + 1 === plan.attendAfter && (options.attention ?? plan.attends)) x = selfAttention(tf, x, conv1x1, 'attention');
  });
  return tf.model({ inputs: input, outputs: head(x, options.outputs ?? 1), name });
}
