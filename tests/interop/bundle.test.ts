/** Bundles of every estimator and prior, judged by Python alone: checker, other engines, and sampling from a seed. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convertLayersModel, createBundle, writeBundle, type PriorSource, type ProductOptions } from '@ratioflow/export';
import { createRuntime, open, writeNpy } from '@ratioflow/node';
import { normals, purposes, type Manifest, type PairingName } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../trainer/src/backend/load-tensorflow.js';
import { createEstimator, type BuiltEstimatorName } from '../../trainer/src/estimators/create-estimator.js';

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import numpy, onnx, onnxruntime']).status === 0,
);
if (!python) console.log('skip: no Python with numpy, onnx and onnxruntime (set RATIOFLOW_PYTHON): bundles are not checked from Python');

/** Engines beside ONNX Runtime and the reference evaluator. */
const engines = ['openvino', 'tract'].filter((engine) => {
  const found = python !== undefined && spawnSync(python, ['-c', `import ${engine}`]).status === 0;
  if (python && !found) console.log(`skip: no ${engine} in this Python: bundles are not run on it`);
  return found;
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-interop-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A made-up data-dependent prior: any lower factor will do. */
function ddp(length: number): PriorSource {
  const factor = normals({ seed: 5, purpose: purposes.testVectors, step: 0, count: length, elements: length });
  for (let row = 0; row < length; row++) factor.fill(0, row * length + row + 1, (row + 1) * length);
  return { kind: 'ddp', mean: new Float32Array(length).fill(-0.5), factor: factor.map((value) => value / length) };
}

/** Outputs of all graphs: the seven that every bundle has and the device-noise sampler; generator, unrolled sampler, half precision, lowered for processors, for WebAssembly. */
const [always, generator, unrolled, half, lowered, wasm] = [8, 1, 1, 6, 3, 3];
const cases: { estimator: BuiltEstimatorName; width?: number; sampleShape: number[]; pairing: PairingName; prior: PriorSource; products: ProductOptions; outputs: number }[] = [
  { estimator: 'mlp', sampleShape: [2], pairing: 'lr-kl', prior: { kind: 'gaussian', deviation: 0.3 }, products: { float16: true, unroll: 3 }, outputs: always + unrolled + half + lowered },
  { estimator: 'mlp', sampleShape: [3], pairing: 'lsif-chi2', prior: { kind: 'uniform' }, products: { singleFile: true }, outputs: always + lowered },
  { estimator: 'resnet28', sampleShape: [1, 28, 28], pairing: 'lr-js', prior: ddp(784), products: { unroll: 2 }, outputs: always + generator + unrolled + lowered + wasm },
  { estimator: 'resnet28', sampleShape: [3, 10, 9], pairing: 'lr-logd', prior: { kind: 'uniform' }, products: { float16: true, singleFile: true }, outputs: always + generator + half + wasm },
  { estimator: 'resnet28', width: 4, sampleShape: [1, 32, 32], pairing: 'lr-kl', prior: { kind: 'uniform' }, products: {}, outputs: always + generator + lowered + wasm },
];

describe.skipIf(!python)('a bundle in Python', () => {
  it.each(cases)('$estimator $sampleShape, $pairing, $prior.kind', { timeout: 180_000 }, async ({ estimator, width, sampleShape, pairing, prior, products, outputs }) => {
    const { tf } = await loadTensorFlow();
    const network = createEstimator(tf, estimator, sampleShape, 1n, { width });
    const bundle = join(folder, `${estimator}-${pairing}`);
    const valueRange = sampleShape.length === 3 ? ([-1, 1] as const) : null;
    await writeBundle(bundle, await createBundle({
      name: estimator, estimator: (await convertLayersModel(network)).model, pairing, prior, eta: 0.5, nu: 0.05, K: 3, kappa: 2, valueRange, products, reference: createRuntime(),
    }));
    network.dispose();
    const model = await open(bundle);
    const { samples } = await model.sample({ count: 3, seed: 2n ** 63n + 5n });
    await model.dispose();
    const file = join(folder, 'samples.npy');
    await writeNpy(file, samples);
    const script = fileURLToPath(new URL('check_bundle.py', import.meta.url));
    const run = spawnSync(python!, [script, bundle, file, String(2n ** 63n + 5n)], { encoding: 'utf8' });
    expect(run.stderr).toBe('');
    const lines = run.stdout.trim().split('\n');
    expect(lines).toHaveLength(1);
    const { checks, refused } = JSON.parse(lines[0]!) as { checks: Record<string, number>; refused: Record<string, Record<string, string>> };
    // tract has no Loop, which samplers that are not unrolled and the generator have, and no Gemm in half precision.
    const lacking = Object.entries(refused['tract'] ?? {});
    expect(Object.keys(refused)).toEqual(engines.includes('tract') ? ['tract'] : []);
    for (const [graph, reason] of lacking) {
      expect([graph, reason]).toEqual(/Unimplemented\(Loop\)/.test(reason)
        ? [expect.stringMatching(/^(sampler(-device-noise)?(-fp16|-cpu|-wasm)?|generator)$/), reason]
        : [expect.stringMatching(/-fp16$/), expect.stringMatching(/Gemm/)]);
    }
    const manifest = JSON.parse(await readFile(join(bundle, 'manifest.json'), 'utf8')) as Manifest;
    const byTract = manifest.verification.filter(({ graph }) => !lacking.some(([name]) => name === graph)).reduce((sum, vector) => sum + Object.keys(vector.outputs).length, 0);
    // Each output at four optimisation levels and by the other engines, and the samples.
    expect(checks).toEqual({ onnxruntime: 4 * outputs + 1, reference: outputs, ...Object.fromEntries(engines.map((engine) => [engine, engine === 'tract' ? byTract : outputs])) });
  });
});
