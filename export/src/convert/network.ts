/** Questions about a tfjs network as a whole. */
import { UnsupportedError } from '../errors.js';
import type { Layer } from './layer-converter.js';
import type { LayersModel } from './tfjs-types.js';

export const isModel = (layer: Layer): layer is LayersModel => 'layers' in layer && 'inputs' in layer && 'outputs' in layer;

/** All layers, those of nested models and inside wrappers included. */
export function allLayers(layers: readonly Layer[]): Layer[] {
  return layers.flatMap((layer) => {
    const inner = (layer as { layer?: Layer }).layer;
    return [layer, ...(isModel(layer) ? allLayers(layer.layers) : []), ...(inner ? allLayers([inner]) : [])];
  });
}

const usesMask = new Set(['RNN', 'SimpleRNN', 'LSTM', 'GRU', 'Bidirectional', 'ConvLSTM2D', 'MultiHeadAttention', 'Softmax', 'TimeDistributed']);

/**
 * A mask changes what recurrent layers and Softmax compute, and tfjs hands it on in ways that depend on the order of
 * execution: a network where both meet is refused. Elsewhere a mask has no effect.
 */
export function refuseMasks(layers: readonly Layer[]): void {
  const all = allLayers(layers);
  const source = all.find((layer) => layer.getClassName() === 'Masking' || (layer.getClassName() === 'Embedding' && layer.getConfig()['maskZero'] === true));
  const user = source && all.find((layer) => usesMask.has(layer.getClassName()));
  if (!user) return;
  const name = (layer: Layer): string => `${JSON.stringify(layer.name)} (${layer.getClassName()})`;
  throw new UnsupportedError(`Layer ${name(source)}: its mask reaches layer ${name(user)}; masked time steps are not supported.`);
}
