/** The bundle of a run: its estimator with averaged weights, checked against the network that it came from. */
import { convertLayersModel, createBundle, type BundleOptions, type ProductOptions } from '@ratioflow/export';
import type { Runtime } from '@ratioflow/sdk';
import { decodeNpy } from '@ratioflow/sdk/npy';
import type { Tensor } from '@tensorflow/tfjs';
import { classesOf } from '../data/classes.js';
import { TrainingError } from '../errors.js';
import { toNetwork } from '../estimators/layout.js';
import { potential } from '../objective/objective.js';
import { versions } from './versions.js';
import type { Assembly } from './assemble.js';

/** File name → content of the bundle of the present (averaged) weights. @param products what it holds besides what every bundle holds */
export async function bundleOf(run: Assembly, iterations: number, runtime: Runtime, products: ProductOptions = {}): Promise<Map<string, Uint8Array>> {
  const { config, dataset, learner, network, pairing, prior, tensorflow } = run;
  return learner.withAveragedWeights(async () => {
    const { model } = await convertLayersModel(network, { converters: run.converters });
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

/** The exported drift must be that of tfjs's own automatic differentiation: the export is never trusted on its word. */
function checkAgainstNetwork({ tensorflow: { tf }, network, pairing, dataset }: Assembly, files: ReadonlyMap<string, Uint8Array>): void {
  const read = (name: string): Float32Array => decodeNpy(files.get(name)!, name).data as Float32Array;
  const [x, exported] = [read('verify/gradient.x.npy'), read('verify/gradient.drift.npy')];
  const difference = tf.tidy(() => {
    const drift = tf.grad((input: Tensor) => tf.neg(tf.sum(potential(tf, pairing, (network.apply(input) as Tensor).flatten()))));
    const expected = drift(toNetwork(tf, x, dataset.sampleShape));
    const found = toNetwork(tf, exported, dataset.sampleShape);
    return tf.div(tf.max(tf.abs(tf.sub(expected, found))), tf.add(tf.max(tf.abs(expected)), 1e-6)).dataSync()[0]!;
  });
  if (!(difference < 1e-3)) {
    throw new TrainingError(`The exported gradient differs from TensorFlow.js's by ${difference} of its size: the export is wrong and was not written. Please report this with the run's configuration.`);
  }
}
