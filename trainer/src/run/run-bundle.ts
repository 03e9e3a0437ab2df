/** The bundle of a run: its estimator with averaged weights, checked against the network that it came from. */
import { convertLayersModel, createBundle, type BundleOptions, type ProductOptions } from '@ratioflow/export';
import { normals, purposes, type Runtime } from '@ratioflow/sdk';
import { decodeNpy } from '@ratioflow/sdk/npy';
import type { Tensor } from '@tensorflow/tfjs';
import { classesOf } from '../data/classes.js';
import { sampleLength } from '../data/dataset.js';
import { TrainingError } from '../errors.js';
import { graphOptions, toNetwork } from '../estimators/layout.js';
import { potential } from '../objective/objective.js';
import { versions } from './versions.js';
import type { Assembly } from './assemble.js';

/** File name → content of the bundle of the present (averaged) weights. @param products what it holds besides what every bundle holds */
export async function bundleOf(run: Assembly, iterations: number, runtime: Runtime, products: ProductOptions = {}): Promise<Map<string, Uint8Array>> {
  const { config, dataset, learner, network, pairing, prior, tensorflow } = run;
  return learner.withAveragedWeights(async () => {
    const { model } = await convertLayersModel(network, { converters: run.converters, ...graphOptions(network, dataset.sampleShape) });
    const options: BundleOptions = {
      name: config.name,
      estimator: model,
      pairing: pairing.name,
      prior: prior.state,
      eta: config.flow.eta,
      nu: config.flow.nu,
      K: config.flow.K,
      kappa: config.flow.kappa,
      valueRange: dataset.valueRange ? [dataset.valueRange[0], dataset.valueRange[1]] : null,
      classNames: dataset.labels && classesOf(dataset).names,
      training: { dataset: dataset.name, iterations, seed: config.seed, config: config as unknown as Record<string, unknown>, versions: versions(tensorflow, runtime) },
      products,
      reference: runtime,
    };
    const files = await createBundle(options);
    checkAgainstNetwork(run, files);
    return files;
  });
}

/** What an export is checked against. */
interface CheckedParts {
  readonly tensorflow: Pick<Assembly['tensorflow'], 'tf'>;
  readonly network: Assembly['network'];
  readonly pairing: Assembly['pairing'];
  readonly dataset: Pick<Assembly['dataset'], 'sampleShape'>;
}

/**
 * The exported drift must be that of tfjs's own automatic differentiation: the export is never trusted on its word. Where rounding alone
 * puts a unit of a sample on the other side of a kink of LeakyReLU, the gradient of tfjs is on that side at a point as near as rounding.
 * @throws {TrainingError} when they differ
 */
export function checkAgainstNetwork({ tensorflow: { tf }, network, pairing, dataset: { sampleShape } }: CheckedParts, files: ReadonlyMap<string, Uint8Array>): void {
  const read = (name: string): Float32Array => decodeNpy(files.get(name)!, name).data as Float32Array;
  const [x, exported] = [read('verify/gradient.x.npy'), read('verify/gradient.drift.npy')];
  const elements = sampleLength(sampleShape);
  const count = x.length / elements;
  const drift = tf.grad((input: Tensor) => tf.neg(tf.sum(potential(tf, pairing, (network.apply(input) as Tensor).flatten()))));
  /** Of each sample, the largest difference as a part of the largest value. */
  const differences = (at: Float32Array): Float32Array => tf.tidy(() => {
    const [expected, found] = [drift(toNetwork(tf, at, sampleShape)), toNetwork(tf, exported, sampleShape)].map((all) => all.reshape([count, elements])) as [Tensor, Tensor];
    return tf.div(tf.max(tf.abs(tf.sub(expected, found)), 1), tf.add(tf.max(tf.abs(expected)), 1e-6)).dataSync() as Float32Array;
  });
  const least = differences(x);
  for (let step = 0; step < nearPoints && !least.every((difference) => difference < 1e-3); step++) {
    const z = normals({ seed: 0, purpose: purposes.testVectors, step, count, elements });
    differences(x.map((value, i) => value + rounding * z[i]!)).forEach((difference, i) => { least[i] = Math.min(least[i]!, difference); });
  }
  if (!least.every((difference) => difference < 1e-3)) {
    throw new TrainingError(`The exported gradient differs from TensorFlow.js's by ${Math.max(...least)} of its size: the export is wrong and was not written. Please report this with the run's configuration.`);
  }
}

const nearPoints = 16;
const rounding = 1e-6;
