/** tfjs's nlp layers, which its packages do not export: they come from its folder, with a `tf.input` and `tf.model` of the same copy. */
import type { LayersModel, SymbolicTensor, Tensor } from '@tensorflow/tfjs';
import type { Layer } from './parity.js';

type Options = Readonly<Record<string, unknown>>;
interface Attention extends Layer {
  call: (query: Tensor, options: Options) => Tensor;
  buildFromSignature: (query: readonly (number | null)[], value: readonly (number | null)[], key?: readonly (number | null)[]) => void;
}
interface Copy { input: (options: { shape: readonly number[] }) => SymbolicTensor; model: (options: { inputs: SymbolicTensor[]; outputs: SymbolicTensor }) => LayersModel }

export interface NlpLayers {
  /** A network of one layer. */
  readonly einsumDense: (options: Options, shape: readonly number[]) => LayersModel;
  /** A network of one attention layer on query, value and perhaps key, whose `predict` calls the layer, as tfjs's own cannot. */
  readonly attention: (options: Options, shapes: readonly number[][], call?: Options) => LayersModel;
}

const load = async (path: string): Promise<unknown> => import(/* @vite-ignore */ new URL(`../../../node_modules/@tensorflow/tfjs-layers/dist/${path}.js`, import.meta.url).href);

export async function loadNlpLayers(): Promise<NlpLayers> {
  const { input, model } = await load('index') as Copy;
  const { EinsumDense } = await load('layers/nlp/einsum_dense') as { EinsumDense: new (options: Options) => Layer };
  const { MultiHeadAttention } = await load('layers/nlp/multihead_attention') as { MultiHeadAttention: new (options: Options) => Attention };
  return {
    einsumDense: (options, shape) => {
      const x = input({ shape });
      return model({ inputs: [x], outputs: new EinsumDense(options).apply(x) as SymbolicTensor });
    },
    attention: (options, shapes, call = {}) => {
      const layer = new MultiHeadAttention({ ...options, biasInitializer: 'randomNormal' });
      const inputs = shapes.map((shape) => input({ shape }));
      const [query, value, key] = inputs;
      layer.buildFromSignature(query!.shape, value!.shape, key?.shape);
      const output = layer.apply(query!, { ...call, value, ...(key && { key }) }) as SymbolicTensor;
      const network = model({ inputs, outputs: output });
      network.predict = (x) => {
        const [q, v, k] = x as Tensor[];
        return layer.call(q!, { ...call, value: v, ...(k && { key: k }) });
      };
      return network;
    },
  };
}
