/** Bundles of networks that nobody trained: their speed is that of trained ones. */
import { convertLayersModel, createBundle, writeBundle } from '../../export/dist/index.js';
import { createRuntime } from '../../runtimes/node/dist/index.js';
import { loadTensorFlow } from '../../trainer/dist/backend/load-tensorflow.js';
import { estimatorConverters } from '../../trainer/dist/estimators/converters.js';
import { createEstimator } from '../../trainer/dist/estimators/create-estimator.js';

/** Writes the bundle of an estimator of the trainer with its initial weights, of few steps: making it samples with all of them. @param name `mlp`, `resnet28`, `resnet32`, … */
export async function writeUntrainedBundle(folder, name, sampleShape, { K = 8, kappa = 2, spectralNorm = false } = {}) {
  const { tf } = await loadTensorFlow();
  const network = createEstimator(tf, name, sampleShape, 1, { spectralNorm });
  const { model } = await convertLayersModel(network, { converters: estimatorConverters });
  network.dispose();
  const images = sampleShape.length === 3;
  await writeBundle(folder, await createBundle({
    name, estimator: model, pairing: 'lr-kl', prior: { kind: images ? 'uniform' : 'gaussian' }, eta: 1, nu: 0.01, K, kappa,
    valueRange: images ? [-1, 1] : null, reference: createRuntime(),
  }));
}
