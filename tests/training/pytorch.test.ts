/** Losses of training against PyTorch, which runs Algorithm 1 from the same weights, data and noise (algorithm1.py). */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pairingNames } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeIdxImages } from '../support/idx-images.js';
import { assembleRun, drawsOf, iterate, weightsOf } from './support.js';

// Seconds, but of all cores: other work may stretch them.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find((command) => command !== undefined && spawnSync(command, ['-c', 'import torch, numpy']).status === 0);
if (python === undefined) console.log('skip: no Python with torch (set RATIOFLOW_PYTHON): training is not compared with PyTorch');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ratioflow-pytorch-'));
  writeIdxImages(join(folder, 'images'), 30, 12);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Settings { readonly iterations: number; readonly K: number; readonly batch: number; readonly eta: number; readonly nu: number; readonly learningRate: number; readonly decayAt: readonly number[] }

/** Runs ours, writes what it drew, and returns our losses with the case for PyTorch. */
async function run(network: 'mlp' | 'resnet28' | 'shallow', pairing: string, settings: Settings): Promise<{ losses: number[]; request: object }> {
  const { iterations, K, batch, eta, nu, learningRate, decayAt } = settings;
  const parts = await assembleRun(`
name: ${network}-${pairing}
seed: 17
data: ${network === 'mlp' ? '{ name: swiss-roll }' : JSON.stringify({ name: 'mnist', folder: join(folder, 'images') })}
estimator: ${network === 'shallow' ? '{ name: resnet64-shallow, width: 0.25, spectralNorm: true }' : `{ name: ${network} }`}
prior: ${network === 'mlp' ? 'gaussian' : 'uniform'}
pairing: ${pairing}
flow: { K: ${K}, eta: ${eta}, nu: ${nu} }
training: { iterations: ${iterations}, batch: ${batch}, learningRate: ${learningRate}, decayAt: [${decayAt.join(', ')}] }
`);
  const name = parts.config.name;
  const save = (array: string, data: Float32Array, shape: readonly number[]): void => writeFileSync(join(folder, `${name}.${array}.npy`), encodeNpy({ data, shape }));
  const weights = [...weightsOf(parts)];
  weights.forEach(([, { data, shape }], i) => save(`weights.${i}`, data, shape));
  const draws = await Promise.all(Array.from({ length: iterations }, (_, t) => drawsOf(parts, t)));
  const join32 = (arrays: readonly Float32Array[]): Float32Array => {
    const all = new Float32Array(arrays.reduce((sum, { length }) => sum + length, 0));
    arrays.reduce((at, array) => {
      all.set(array, at);
      return at + array.length;
    }, 0);
    return all;
  };
  const { sampleShape } = parts.dataset;
  save('data', join32(draws.map(({ data }) => data)), [iterations, batch, ...sampleShape]);
  save('x0', join32(draws.map(({ x0 }) => x0)), [iterations, batch, ...sampleShape]);
  save('noise', join32(draws.map(({ noise }) => noise)), [iterations, K, batch, ...sampleShape]);
  const losses = (await iterate(parts, iterations)).map(({ loss }) => loss);
  await parts.dispose();
  return { losses, request: { name, network, pairing, eta, nu, learningRate, decayAt, weights: weights.map(([weight]) => weight) } };
}

describe.skipIf(python === undefined).each([
  { network: 'mlp', tolerance: 2e-5, settings: { iterations: 50, K: 8, batch: 64, eta: 0.3, nu: 0.02, learningRate: 1e-3, decayAt: [30] } },
  // Spectral normalisation and self-attention.
  { network: 'shallow', tolerance: 2e-5, settings: { iterations: 50, K: 2, batch: 4, eta: 2, nu: 0.02, learningRate: 5e-4, decayAt: [] } },
  { network: 'resnet28', tolerance: 2e-5, settings: { iterations: 50, K: 2, batch: 3, eta: 2, nu: 0.02, learningRate: 3e-4, decayAt: [40] } },
] as const)('$network', ({ network, tolerance, settings }) => {
  it('has PyTorch\'s losses for every pairing', async () => {
    const runs = [];
    for (const pairing of pairingNames) runs.push(await run(network, pairing, settings));
    const reply = spawnSync(python!, [fileURLToPath(new URL('algorithm1.py', import.meta.url))], { input: `${JSON.stringify({ folder, cases: runs.map(({ request }) => request) })}\n` });
    expect(reply.stderr.toString()).toBe('');
    const expected = reply.stdout.toString().trim().split('\n').map((line) => JSON.parse(line) as number[]);
    let largest = 0;
    runs.forEach(({ losses }, i) => {
      expect(expected[i]).toHaveLength(losses.length);
      losses.forEach((loss, t) => {
        largest = Math.max(largest, Math.abs(loss - expected[i]![t]!));
        expect(Math.abs(loss - expected[i]![t]!), `${pairingNames[i]!}, iteration ${t}`).toBeLessThan(tolerance);
      });
      // Losses that differ from each other by more than the tolerance: the agreement is one of numbers that move.
      expect(Math.max(...losses) - Math.min(...losses)).toBeGreaterThan(2 * tolerance);
    });
    console.log(`${network}: largest difference of a loss from PyTorch's ${largest.toExponential(1)}`);
  });
});
