/**
 * Self-attention of SAGAN (Zhang et al. 2019, equations 1 to 3): every place asks all others by 1×1 convolutions to C/8 channels,
 * softmax over the places that answer, no division by √d, and a gain γ that starts at 0.
 */
import type { layers, SymbolicTensor, Tensor, Tensor3D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

/** Channels of queries, keys and values are those of the image over this. */
export const attentionReduction = 8;

/** @param conv1x1 makes a 1×1 convolution of so many filters under a name */
export function selfAttention(tf: TensorFlow, x: SymbolicTensor, conv1x1: (x: SymbolicTensor, filters: number, name: string) => SymbolicTensor, name: string): SymbolicTensor {
  const channels = x.shape.at(-1)!;
  const inner = Math.max(1, Math.floor(channels / attentionReduction));
  const parts = (['query', 'key', 'value'] as const).map((part) => conv1x1(x, inner, `${name}_${part}`));
  const { attention, gain } = attentionLayers(tf);
  const answer = conv1x1(attention(`${name}_attend`).apply(parts) as SymbolicTensor, channels, `${name}_out`);
  return tf.layers.add({ name: `${name}_add` }).apply([x, gain(`${name}_gain`).apply(answer) as SymbolicTensor]) as SymbolicTensor;
}

interface AttentionLayers {
  /** [query, key, value], images of the same size → image: Σ over places i of value_i · softmax_i(query_j · key_i). */
  readonly attention: (name: string) => layers.Layer;
  /** γ x, one γ for everything, from 0. */
  readonly gain: (name: string) => layers.Layer;
}

function attentionLayers(tf: TensorFlow): AttentionLayers {
  class DotProductAttention extends tf.layers.Layer {
    static get className(): string {
      return 'DotProductAttention';
    }

    override computeOutputShape(inputShape: (number | null)[] | (number | null)[][]): (number | null)[] {
      return (inputShape as (number | null)[][])[2]!;
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const images = inputs as Tensor[];
        const [query, key, value] = images.map((image) => tf.reshape(image, [image.shape[0], -1, image.shape[3]!])) as [Tensor3D, Tensor3D, Tensor3D];
        const weights = tf.softmax(tf.matMul(query, key, false, true), -1);
        return tf.reshape(tf.matMul(weights, value), images[2]!.shape);
      });
    }
  }

  class Gain extends tf.layers.Layer {
    #gain!: layers.Layer['weights'][number];

    static get className(): string {
      return 'Gain';
    }

    override build(inputShape: (number | null)[] | (number | null)[][]): void {
      this.#gain = this.addWeight('gain', [1], 'float32', tf.initializers.zeros());
      super.build(inputShape);
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => tf.mul(Array.isArray(inputs) ? inputs[0]! : inputs, this.#gain.read()));
    }
  }
  return { attention: (name) => new DotProductAttention({ name }), gain: (name) => new Gain({ name }) };
}
