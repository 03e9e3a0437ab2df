/** The Inception that runtimes/python exports for pytorch-fid's distances, against pytorch-fid's own network with the same weights: resizing, scaling and layers. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readNpy, writeNpy } from '@ratioflow/node';
import { normals } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openExtractor } from '../../trainer/src/evaluation/extractor.js';

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find((command) => command !== undefined && spawnSync(command, ['-c', 'import onnxscript, pytorch_fid, torch, torchvision']).status === 0);
if (python === undefined) console.log('skip: no Python with onnxscript, pytorch-fid, torch and torchvision (set RATIOFLOW_PYTHON): Inception is not compared');
const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const [count, side] = [3, 40];
const bytes = Uint8Array.from(normals({ seed: 3, purpose: 4, step: 0, count, elements: 3 * side * side }), (z) => Math.min(255, Math.max(0, 128 + 60 * z)));

describe.skipIf(python === undefined)('Inception', () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ratioflow-inception-'));
    await writeNpy(join(folder, 'images.npy'), { shape: [count, 3, side, side], data: bytes });
    execFileSync(python!, [script('inception.py'), script('../../runtimes/python/inception_to_onnx.py'), folder], { stdio: ['ignore', 'ignore', 'pipe'] });
  }, 400_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each<[string, string[], RegExp]>([
    ['weights that are not there', ['--weights', 'absent.pth', '-o', 'new.onnx'], /error: the weights absent\.pth are no file/],
    ['what are no weights', ['--weights', 'images.npy', '-o', 'new.onnx'], /error: images\.npy is no file of weights that PyTorch reads/],
    ['weights of the other kind', ['--weights', 'fid.pth', '-o', 'new.onnx'], /error: fid\.pth holds the weights of another network \(Missing key/],
    ['a folder that is missing', ['--random', '-o', join('absent', 'new.onnx')], /error: the output's folder absent is not there/],
  ])('refuses %s in a line, and writes nothing', (_, args, message) => {
    const { status, stderr } = spawnSync(python!, [script('../../runtimes/python/inception_to_onnx.py'), 'torchvision', ...args], { cwd: folder, encoding: 'utf8' });
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain('Traceback');
    expect(readdirSync(folder).filter((name) => name.includes('new'))).toEqual([]);
  });

  it('makes the 2,048 features of pytorch-fid', { timeout: 200_000 }, async () => {
    const extractor = await openExtractor(join(folder, 'fid.onnx'), { threads: 1 });
    const { shape, data } = await extractor.features({ shape: [count, 3, side, side], data: Float32Array.from(bytes, (byte) => byte / 127.5 - 1) });
    await extractor.dispose();
    const read = await readNpy(join(folder, 'fid.npy'));
    expect([shape, read.shape]).toEqual([[count, 2048], [count, 2048]]);
    const expected = read.data as Float32Array;
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const off = data.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
    expect(largest).toBeGreaterThan(0.1);
    expect(off / largest).toBeLessThan(1e-4);
  });
});
