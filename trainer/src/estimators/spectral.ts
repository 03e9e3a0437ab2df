/**
 * Spectral normalisation (Miyato et al. 2018, as torch.nn.utils.spectral_norm): a layer computes with W / σ, σ = uᵀ W v, where u
 * and v follow the leading singular vectors of the kernel by one power iteration per training step. They are constants to the
 * gradient, which passes through σ; calling a layer never moves them, so that the flow is a function of its state.
 */
import type { LayersModel, Tensor, Tensor2D, layers } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

/** Power iterations that the vectors are started with, as PyTorch's parametrisation does. */
export const startingIterations = 15;
/** Where a norm would be divided by 0. */
const smallest = 1e-12;
/** The Gram matrix to the power 2^squarings: beyond it, singular values are closer than float32 tells apart. */
const squarings = 18;

interface SpectralOptions {
  readonly units: number;
  readonly name: string;
  readonly useBias: boolean;
  /** Extents of the kernel's window and its strides; none: a dense layer. */
  readonly window?: { readonly size: number; readonly stride: number; readonly padding: 'same' | 'valid' };
  readonly inputShape?: readonly number[];
}

/** A layer under spectral normalisation. */
export interface SpectralLayer extends layers.Layer {
  /** uᵀ W v, to be differentiated with respect to W. */
  sigma(): Tensor;
  /** Moves u and v by so many power iterations. */
  iteratePower(count: number): void;
  /** Moves u and v to the leading singular vectors. */
  converge(): void;
}

const isSpectral = (layer: layers.Layer): layer is SpectralLayer => 'iteratePower' in layer && 'sigma' in layer;

/** Whether a weight is a vector of spectral normalisation: it follows a kernel, and exports do not have it. */
export const isSpectralVector = ({ originalName }: { readonly originalName: string }): boolean => /\/spectral_[uv](_\d+)?$/.test(originalName);

/** Parameters of a network, as papers count them: without the vectors of spectral normalisation. */
export const parametersOf = (network: LayersModel): number =>
  network.weights.filter((weight) => !isSpectralVector(weight)).reduce((sum, { shape }) => sum + shape.reduce<number>((product, extent) => product * (extent ?? 1), 1), 0);

/** The layers of a network that are under spectral normalisation. */
export const spectralLayersOf = (network: LayersModel): SpectralLayer[] => network.layers.filter(isSpectral);

export interface SpectralLayers {
  readonly conv2d: (filters: number, size: number, stride: number, padding: 'same' | 'valid', name: string) => layers.Layer;
  readonly dense: (units: number, name: string, inputShape?: readonly number[]) => layers.Layer;
}

/** Makes convolutions (without bias) and dense layers (with one) under spectral normalisation. */
export function spectralLayers(tf: TensorFlow): SpectralLayers {
  const unit = <T extends Tensor>(x: T): T => tf.div(x, tf.maximum(tf.norm(x), smallest));

  class Spectral extends tf.layers.Layer implements SpectralLayer {
    readonly #options: SpectralOptions;
    #kernel!: layers.Layer['weights'][number];
    #bias: layers.Layer['weights'][number] | undefined;
    #u!: layers.Layer['weights'][number];
    #v!: layers.Layer['weights'][number];

    constructor(options: SpectralOptions) {
      super({ name: options.name, ...(options.inputShape && { inputShape: [...options.inputShape] }) });
      this.#options = options;
    }

    static get className(): string {
      return 'SpectralDense';
    }

    override build(inputShape: (number | null)[] | (number | null)[][]): void {
      const inputs = (inputShape as number[]).at(-1)!;
      const { units, window, useBias } = this.#options;
      const shape = window ? [window.size, window.size, inputs, units] : [inputs, units];
      const normal = tf.initializers.glorotUniform({});
      this.#kernel = this.addWeight('kernel', shape, 'float32', normal);
      if (useBias) this.#bias = this.addWeight('bias', [units], 'float32', tf.initializers.zeros());
      this.#u = this.addWeight('spectral_u', [units], 'float32', tf.initializers.ones(), undefined, false);
      this.#v = this.addWeight('spectral_v', [shape.reduce((a, b) => a * b, 1) / units], 'float32', tf.initializers.ones(), undefined, false);
      super.build(inputShape);
    }

    override computeOutputShape(inputShape: (number | null)[] | (number | null)[][]): (number | null)[] {
      const shape = inputShape as (number | null)[];
      const { units, window } = this.#options;
      if (!window) return [...shape.slice(0, -1), units];
      const extent = (size: number | null): number | null =>
        size === null ? null : window.padding === 'same' ? Math.ceil(size / window.stride) : Math.floor((size - window.size) / window.stride) + 1;
      return [shape[0]!, extent(shape[1]!), extent(shape[2]!), units];
    }

    override call(inputs: Tensor | Tensor[]): Tensor {
      return tf.tidy(() => {
        const x = Array.isArray(inputs) ? inputs[0]! : inputs;
        const kernel = tf.div(this.#kernel.read(), this.sigma());
        const { window } = this.#options;
        const y = window ? tf.conv2d(x as never, kernel as never, window.stride, window.padding) : tf.matMul(x, kernel);
        return this.#bias ? tf.add(y, this.#bias.read()) : y;
      });
    }

    #matrix(): Tensor2D {
      return tf.reshape(this.#kernel.read(), [-1, this.#options.units]);
    }

    sigma(): Tensor {
      return tf.tidy(() => tf.sum(tf.mul(tf.matMul(tf.reshape(this.#v.read(), [1, -1]), this.#matrix()), this.#u.read())));
    }

    iteratePower(count: number): void {
      tf.tidy(() => {
        let u: Tensor = tf.reshape(this.#u.read(), [-1, 1]);
        let v: Tensor = tf.reshape(this.#v.read(), [-1, 1]);
        const matrix = this.#matrix();
        for (let i = 0; i < count; i++) {
          v = unit(tf.matMul(matrix, u));
          u = unit(tf.matMul(matrix, v, true));
        }
        this.#u.write(tf.reshape(u, [-1]));
        this.#v.write(tf.reshape(v, [-1]));
      });
    }

    converge(): void {
      tf.tidy(() => {
        const matrix = this.#matrix();
        let gram = tf.matMul<Tensor>(matrix, matrix, true);
        for (let i = 0; i < squarings; i++) {
          gram = tf.div(gram, tf.maximum(tf.max(tf.abs(gram)), smallest));
          gram = tf.matMul(gram, gram);
        }
        // All columns of a high power are multiples of the leading vector: the longest is the most accurate.
        const longest = tf.argMax(tf.sum(tf.square(gram), 0));
        this.#u.write(unit(tf.reshape(tf.gather(gram, longest, 1), [-1])));
      });
      this.iteratePower(3);
    }

    override getConfig(): ReturnType<layers.Layer['getConfig']> {
      const { units, window, useBias } = this.#options;
      const shape = window
        ? { filters: units, kernelSize: [window.size, window.size], strides: [window.stride, window.stride], padding: window.padding, dilationRate: [1, 1], dataFormat: 'channelsLast' }
        : { units };
      return { ...super.getConfig(), ...shape, useBias, activation: 'linear' };
    }
  }

  class SpectralConv2D extends Spectral {
    static override get className(): string {
      return 'SpectralConv2D';
    }
  }

  return {
    conv2d: (units, size, stride, padding, name) => new SpectralConv2D({ units, name, useBias: false, window: { size, stride, padding } }),
    dense: (units, name, inputShape) => new Spectral({ units, name, useBias: true, ...(inputShape && { inputShape }) }),
  };
}
