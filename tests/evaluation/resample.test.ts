/** Resizing of images against PyTorch's `interpolate`: every kernel, smaller and larger, with and without antialiasing. */
import { execFileSync, spawnSync } from 'node:child_process';
import { normals } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { resizer, type ResizeMethod } from '../../trainer/src/evaluation/resample.js';

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find((command) => command !== undefined && spawnSync(command, ['-c', 'import torch']).status === 0);
if (python === undefined) console.log('skip: no Python with torch (set RATIOFLOW_PYTHON): resizing is not compared with PyTorch');

const script = `
import json, sys, torch
jobs = json.load(sys.stdin)
def resized(job):
    x = torch.tensor(job["data"], dtype=torch.float64).reshape(1, 2, *job["size"])
    options = {} if job["method"] == "nearest" else {"align_corners": False, "antialias": job["antialias"]}
    return torch.nn.functional.interpolate(x, size=job["to"], mode=job["method"], **options).flatten().tolist()
json.dump([resized(job) for job in jobs], sys.stdout)
`;

type Size = [number, number];
interface Job { readonly method: ResizeMethod; readonly antialias: boolean; readonly size: Size; readonly to: Size; readonly data: number[] }

const sizes: [Size, Size][] = [[[28, 28], [299, 299]], [[32, 20], [13, 31]], [[64, 64], [9, 17]], [[5, 3], [4, 3]], [[1, 2], [7, 5]], [[8, 8], [1, 1]]];
const jobs = sizes.flatMap(([size, to], i) => ([['nearest', false], ['bilinear', false], ['bilinear', true], ['bicubic', false], ['bicubic', true]] as const)
  .map(([method, antialias]): Job => ({ method, antialias, size, to, data: [...normals({ seed: i, purpose: 4, step: 0, count: 2, elements: size[0] * size[1] })] })));

describe.skipIf(python === undefined)('resizing', () => {
  it('is PyTorch\'s interpolate', { timeout: 120_000 }, () => {
    const expected = JSON.parse(execFileSync(python!, ['-c', script], { input: JSON.stringify(jobs), encoding: 'utf8', maxBuffer: 2 ** 28 })) as number[][];
    jobs.forEach(({ method, antialias, size, to, data }, i) => {
      const found = resizer(size, to, method, antialias)(Float32Array.from(data));
      const difference = expected[i]!.reduce((most, value, at) => Math.max(most, Math.abs(value - found[at]!)), 0);
      expect(difference, `${method}${antialias ? ' with antialias' : ''}, ${size.join(' × ')} to ${to.join(' × ')}`).toBeLessThan(2e-6);
    });
  });
});
