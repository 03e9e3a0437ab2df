/** Checkpoints of the official FDRL code → ONNX → bundle. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importBundle, readModelFile } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import torch, onnx, onnxruntime']).status === 0,
);
if (!python) console.log('skip: no Python with torch, onnx and onnxruntime (set RATIOFLOW_PYTHON): checkpoints of FDRL are not converted');

interface Result { readonly name: string; readonly status: number; readonly out: string; readonly err: string; readonly difference: number; readonly shape: number[]; readonly written: boolean }

let folder: string;
let results: Result[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-fdrl-'));
  if (!python) return;
  const run = spawnSync(python, [fileURLToPath(new URL('check_fdrl.py', import.meta.url)), folder], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(run.stderr);
  results = run.stdout.trim().split('\n').map((line) => JSON.parse(line) as Result);
}, 300_000);
afterAll(() => rm(folder, { recursive: true }));

describe.skipIf(!python)('checkpoints of FDRL', () => {
  it.each([
    ['attention, spectral norm, several GPUs, averaged', '--pairing lsif-chi2 --eta 3.0 --nu 0.01 --steps 100 --refine 10 --prior source'],
    ['plain, live weights', '--pairing lr-logd --eta 3.0 --nu 0.01 --steps 100 --refine 20 --prior ddp --data IMAGES'],
    ['points', '--pairing lr-kl --eta 1.0 --nu 0.01 --steps 200 --refine 0 --prior gaussian'],
  ])('%s: ONNX computes what torch does', (name, command) => {
    const result = results.find((one) => one.name === name)!;
    expect([result.status, result.err]).toEqual([0, '']);
    expect(result.shape).toEqual([4]);
    // The reference is torch in double with torch's own spectral normalisation.
    expect(result.difference).toBeLessThan(2e-5);
    expect(result.out).toContain(command);
  });

  it.each([
    ['no checkpoint', /holds no dictionary with config and model/],
    ['no averaged weights', /lacks the averaged weights \(ema\).*--live takes the others/],
    ['another width', /does not fit its configuration: mlp\.0\.bias: \(64,\) instead of \(32,\)/],
    ['an unknown size', /for 48 x 48; known are/],
    ['weights that are no numbers', /the weights mlp\.0\.bias are not finite/],
  ])('%s: refused, nothing written', (name, message) => {
    const result = results.find((one) => one.name === name)!;
    expect([result.status, result.written]).toEqual([1, false]);
    expect(result.err).toMatch(message);
  });

  it('import as they are', async () => {
    const { sampleShape, notes } = await importBundle({
      name: 'fdrl', read: () => readModelFile(join(folder, 'estimator.onnx')), pairing: 'lr-kl', prior: { kind: 'gaussian' }, eta: 1, nu: 0.01, K: 2, kappa: 0, reference: createRuntime(),
    });
    expect([sampleShape, notes]).toEqual([[2], []]);
  });
});
