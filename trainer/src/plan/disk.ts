/** Bytes on disk of what the run of an estimator leaves besides checkpoints: its prior and its bundle. */
import type { TrainingConfig } from '../config/schema.js';
import { hasLowRank } from '../priors/ddp.js';
import { defaultRank } from '../priors/low-rank.js';

type Settings = Pick<TrainingConfig, 'prior' | 'flow'>;

/** Of the arrays of a data-dependent prior, which run and bundle have one each of; at most, where the rank follows from the data. */
export function priorBytes({ prior }: Pick<Settings, 'prior'>, elements: number): number {
  if (prior.kind !== 'ddp') return 0;
  return 4 * elements * (hasLowRank(prior, elements) ? Math.min(prior.rank ?? defaultRank, elements) + 2 : elements + 1);
}

/** Nodes of a bundle's graphs, names included, for each of the gradient's; of images there are some for WebAssembly, too. */
const bytesPerNode = { points: 1300, images: 2000 };
/** Its manifest, and the heads of some twenty arrays. */
const others = 12_288;
/** Samples, one beside the other, in the verification vectors of all graphs but the generator. */
const vectorSamples = 42;
const generatorSamples = 2;

/** @param constants bytes of them in the gradient's graph @param nodes of it, where they are known */
export function bundleBytes(config: Settings, { sampleShape, constants, nodes = 0 }: { readonly sampleShape: readonly number[]; readonly constants: number; readonly nodes?: number }): number {
  const { prior, flow: { K, kappa } } = config;
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  // The generator is fed with the noise of the whole flow.
  const images = sampleShape.length === 3;
  const fed = images && prior.kind !== 'source' ? generatorSamples * (K + kappa + 1) : 0;
  return constants + priorBytes(config, elements) + 4 * elements * (vectorSamples + fed) + bytesPerNode[images ? 'images' : 'points'] * nodes + others;
}
