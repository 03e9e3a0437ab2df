/** How good a classifier is: accuracy on a test set, as it is and under attack. */
import type { LayersModel, Tensor2D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { sampleLength, type ImageDataset } from '../data/dataset.js';
import { valuesOfBytes } from '../data/image-array.js';
import { toNetwork } from '../estimators/layout.js';
import { attacked, type Attack } from './attack.js';
import { isRight } from './train-classifier.js';

/** Accuracies are parts of 1. */
export interface Evaluation {
  /** The test set. */
  readonly dataset: string;
  readonly accuracy: number;
  readonly count: number;
  /** Accuracy by class, in the order of the outputs; NaN (null in JSON) for a class without test images. */
  readonly accuracyByClass: readonly number[];
  /** The first images of the set under attack; null where none were asked for. */
  readonly underAttack: { readonly accuracy: number; readonly count: number; readonly attack: Attack } | null;
}

const batch = 250;

/** @param classes the right output for each image @param classCount how many outputs there are @param attackCount so many of the first images are attacked */
export async function evaluateClassifier(
  tf: TensorFlow, network: LayersModel, dataset: ImageDataset, classes: Uint8Array, classCount: number, attack: Attack, attackCount: number, signal?: AbortSignal,
): Promise<Evaluation> {
  const logits = (x: Parameters<LayersModel['apply']>[0]): Tensor2D => network.apply(x) as Tensor2D;
  /** 1 or 0 for each of the first images. */
  const rights = async (count: number, by?: Attack): Promise<Float32Array> => {
    const right = new Float32Array(count);
    const bytes = new Uint8Array(batch * sampleLength(dataset.sampleShape));
    for (let first = 0; first < count; first += batch) {
      signal?.throwIfAborted();
      const size = Math.min(batch, count - first);
      const part = bytes.subarray(0, size * sampleLength(dataset.sampleShape));
      await dataset.readBytes(part, first, size);
      right.set(tf.tidy(() => {
        const labels = tf.tensor1d(Int32Array.from(classes.subarray(first, first + size)), 'int32');
        const x = toNetwork(tf, valuesOfBytes(part), dataset.sampleShape);
        return isRight(tf, logits(by ? attacked(tf, logits, x, labels, by) : x), labels).dataSync<'float32'>();
      }), first);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return right;
  };
  const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
  const clean = await rights(dataset.size);
  const under = Math.min(attackCount, dataset.size);
  return {
    dataset: dataset.name, accuracy: mean(clean), count: dataset.size,
    accuracyByClass: Array.from({ length: classCount }, (_, one) => mean(clean.filter((__, i) => classes[i] === one))),
    underAttack: under > 0 ? { accuracy: mean(await rights(under, attack)), count: under, attack } : null,
  };
}
