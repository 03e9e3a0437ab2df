/** What a trained model is used for. Everything takes a `Model`, wherever that runs. @module @ratioflow/sdk/applications */
export { interpolate } from './interpolate.js';
export type { Interpolation, InterpolationOptions } from './interpolate.js';
export { latentBetween, latentOf, slerp } from './latent.js';
export type { SampleIndex } from './latent.js';
export { concatenate } from './batches.js';
export type { BatchOptions, Samples } from './batches.js';
export { rank, score } from './score.js';
export { selectSamples, selectionPurpose } from './select.js';
export type { Selection, SelectionOptions } from './select.js';
export { translate } from './translate.js';
export type { TranslatedBatch, TranslationOptions } from './translate.js';
