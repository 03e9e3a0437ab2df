/** The user's own network: from a saved model and from a module, differentiated and exported like the built ones; what is refused. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LayersModel, io } from '@tensorflow/tfjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { openEstimator } from './open-estimator.js';

let tf: TensorFlow;
let folder: string;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-custom-'));
});
afterAll(() => rm(folder, { recursive: true }));

const small = (): LayersModel => tf.sequential({ layers: [
  tf.layers.conv2d({ filters: 16, kernelSize: 3, activation: 'swish', inputShape: [8, 8, 3] }), tf.layers.batchNormalization({}), tf.layers.flatten(), tf.layers.dense({ units: 1 }),
] });

async function saved(network: LayersModel, name: string): Promise<string> {
  await network.save({ save: async (artifacts: io.ModelArtifacts) => {
    const { modelTopology, weightSpecs, weightData } = artifacts;
    await writeFile(join(folder, `${name}.bin`), new Uint8Array(weightData as ArrayBuffer));
    await writeFile(join(folder, `${name}.json`), JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest: [{ paths: [`${name}.bin`], weights: weightSpecs }] }));
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
  } });
  return join(folder, `${name}.json`);
}
const numbers = (network: LayersModel): number[][] => network.getWeights().map((tensor) => [...tensor.dataSync()]);

it('keeps the weights of a saved model, unless told to draw them', async () => {
  const network = small();
  const path = await saved(network, 'small');
  const kept = await openEstimator(tf, { name: 'custom', path }, [3, 8, 8], 1);
  expect(numbers(kept.network)).toEqual(numbers(network));
  const drawn = await openEstimator(tf, { name: 'custom', path, keepWeights: false }, [3, 8, 8], 1);
  const [kernel, bias, gamma] = numbers(drawn.network) as [number[], number[], number[]];
  expect(Math.max(...kernel.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(27));
  expect(kernel).not.toEqual(numbers(network)[0]);
  expect(bias.some((value) => value !== 0)).toBe(true);
  // Normalisation layers start as identities.
  expect(gamma).toEqual(gamma.map(() => 1));
});

it('takes what a module makes, with weights that follow from the seed', async () => {
  const path = join(folder, 'mine.mjs');
  await writeFile(path, 'export default (tf, [d]) => tf.sequential({ layers: [tf.layers.dense({ units: 4, inputShape: [d] }), tf.layers.dense({ units: 1 })] });');
  const [a, b, c] = await Promise.all([7, 7, 8].map((seed) => openEstimator(tf, { name: 'custom', path }, [2], seed)));
  expect(numbers(b!.network)).toEqual(numbers(a!.network));
  expect(numbers(c!.network)).not.toEqual(numbers(a!.network));
});

it('refuses what cannot be an estimator of the data, by path and shape', async () => {
  const path = await saved(small(), 'other');
  await expect(openEstimator(tf, { name: 'custom', path }, [1, 8, 8], 1)).rejects.toThrow('takes [N, 8, 8, 3]; the data are [N, 8, 8, 1] (channels last');
  await expect(openEstimator(tf, { name: 'custom', path: join(folder, 'none.json') }, [1, 8, 8], 1)).rejects.toThrow(/none\.json" cannot be read/);
  const two = await saved(tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] }), 'two');
  await expect(openEstimator(tf, { name: 'custom', path: two }, [3], 1)).rejects.toThrow('gives [N, 2]; an estimator gives [N] or [N, 1]');
  for (const [name, body, message] of [
    ['throws', 'throw new Error("no idea");', /throws\.mjs": its default export fails: no idea/],
    ['other', 'return { inputs: [] };', /other\.mjs": its default export gives no LayersModel.*with the tf that it is handed/],
    ['pair', 'const [a, b] = [1, 2].map(() => tf.input({ shape: [3] })); return tf.model({ inputs: [a, b], outputs: tf.layers.dense({ units: 1 }).apply(tf.layers.add().apply([a, b])) });', 'one input and one output'],
  ] as const) {
    await writeFile(join(folder, `${name}.mjs`), `export default (tf) => { ${body} };`);
    await expect(openEstimator(tf, { name: 'custom', path: join(folder, `${name}.mjs`) }, [3], 1)).rejects.toThrow(message);
  }
  await writeFile(join(folder, 'empty.mjs'), 'export const nothing = 1;');
  await expect(openEstimator(tf, { name: 'custom', path: join(folder, 'empty.mjs') }, [3], 1)).rejects.toThrow('needs a default export (tf, sampleShape, seed)');
});
