/** Converters of tfjs layers, by class name. A layer that is not here is refused by name, never approximated. */
import type { LayerConverter } from '../layer-converter.js';
import { activationLayers } from './activations.js';
import { attentionLayers } from './attention.js';
import { convLstmLayers } from './conv-lstm.js';
import { convolutionLayers } from './convolution.js';
import { coreLayers } from './core.js';
import { mergeLayers } from './merge.js';
import { normalizationLayers } from './normalization.js';
import { poolingLayers } from './pooling.js';
import { recurrentLayers } from './recurrent.js';
import { spatialLayers } from './spatial.js';

/** The converters of tfjs's own layers by class name. */
export const builtInConverters: Readonly<Record<string, LayerConverter>> = {
  ...activationLayers,
  ...attentionLayers,
  ...convLstmLayers,
  ...convolutionLayers,
  ...coreLayers,
  ...mergeLayers,
  ...normalizationLayers,
  ...poolingLayers,
  ...recurrentLayers,
  ...spatialLayers,
};
