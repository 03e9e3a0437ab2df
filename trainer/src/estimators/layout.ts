/** Samples are channels first at every boundary; tfjs computes channels last. */
import type { ConvertOptions } from '@ratioflow/export';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

/** Extents of a sample as a network takes it. */
export const channelsLast = (sampleShape: readonly number[]): readonly number[] => (sampleShape.length === 3 ? [sampleShape[1]!, sampleShape[2]!, sampleShape[0]!] : sampleShape);

/**
 * Options of `convertLayersModel` by which a network's graph takes samples, whatever its layers compute in. Networks may leave extents of
 * their input open, graphs may not.
 */
export const graphOptions = ({ inputNames, inputs }: LayersModel, sampleShape: readonly number[]): Pick<ConvertOptions, 'channelsFirst' | 'inputShapes'> =>
  ({ channelsFirst: 'images', inputShapes: { [inputNames[0] ?? inputs[0]!.sourceLayer.name]: channelsLast(sampleShape) } });

/** A batch of samples in C order ([N, C, H, W] or [N, D]) as the tensor that the network takes. Inside a tidy. */
export function toNetwork(tf: TensorFlow, samples: Float32Array, sampleShape: readonly number[]): Tensor {
  const count = samples.length / sampleShape.reduce((a, b) => a * b, 1);
  const [channels, height, width] = sampleShape;
  if (sampleShape.length === 1) return tf.tensor2d(samples, [count, sampleShape[0]!]);
  if (channels === 1) return tf.tensor4d(samples, [count, height!, width!, 1]);
  return tf.transpose(tf.tensor4d(samples, [count, channels!, height!, width!]), [0, 2, 3, 1]);
}

/** The way back. Inside a tidy. */
export function fromNetwork(tf: TensorFlow, x: Tensor): Float32Array {
  const channelsFirst = x.rank === 4 && x.shape[3] !== 1 ? tf.transpose(x, [0, 3, 1, 2]) : x;
  return channelsFirst.dataSync<'float32'>();
}
