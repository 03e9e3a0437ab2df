import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open, readNpy } from '@ratioflow/node';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeGaussianBundle } from '../testing/gaussian-bundle.js';
import { ratioflow } from '../testing/run-command.js';

let folder: string;
let images: string;
const inFolder = (name: string): string => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-interpolate-'));
  images = inFolder('images');
  await writeGaussianBundle(images, [1, 16, 16]);
});
afterAll(() => rm(folder, { recursive: true }));

describe('ratioflow interpolate', () => {
  it('leads from sample to sample', async () => {
    const out = inFolder('paths.npy');
    expect(await ratioflow(['interpolate', images, '--pairs', '1:2,7/3:0', '--seed', '5', '--frames', '4', '--noise', 'spherical', '--stages', '-o', out])).toMatchObject({ code: 0, err: '', out: `2 paths of 4 points in ${out}, on cpu\n` });
    const { shape, data } = await readNpy(out);
    expect(shape).toEqual([3, 2, 4, 1, 16, 16]);
    const model = await open(images);
    const ends = [[5, 1, 0], [5, 2, 3], [7, 3, 4], [5, 0, 7]] as const;
    for (const [seed, first, point] of ends) {
      const expected = [await model.prior({ seed, first }), (await model.sample({ seed, first, kappa: 0 })).samples, (await model.sample({ seed, first })).samples];
      expected.forEach((tensor, stage) => {
        const found = (data as Float32Array).slice((8 * stage + point) * 256, (8 * stage + point + 1) * 256);
        // The array's second stage is not clamped.
        expect(Math.max(...found.map((value, i) => Math.abs((stage === 1 ? Math.min(1, Math.max(-1, value)) : value) - tensor.data[i]!)))).toBeLessThan(1e-5);
      });
    }
    await model.dispose();
  });

  it('draws grids and animations, films that move too', async () => {
    await ratioflow(['interpolate', images, '--frames', '3', '--zoom', '1', '-o', inFolder('grid.png')]);
    expect(await sharp(inFolder('grid.png')).metadata()).toMatchObject({ width: 3 * 18 - 2, height: 5 * 18 - 2 });
    expect((await ratioflow(['interpolate', images, '--pairs', '0:1', '--frames', '5', '--steps', '2', '--refine', '0', '--zoom', '1', '--milliseconds', '40', '-o', inFolder('path.gif')])).code).toBe(0);
    expect(await sharp(inFolder('path.gif'), { animated: true }).metadata()).toMatchObject({ pages: 8, width: 16, delay: [500, 40, 40, 40, 500, 40, 40, 40] });
    expect((await ratioflow(['sample', images, '--film', '--count', '4', '--frames', '6', '--zoom', '1', '-o', inFolder('film.gif')])).code).toBe(0);
    expect(await sharp(inFolder('film.gif'), { animated: true }).metadata()).toMatchObject({ pages: 6, width: 34 });
  });

  it('writes nothing of which nothing is finite', async () => {
    const { code, err } = await ratioflow(['interpolate', images, '--pairs', '0:1', '--frames', '2', '--eta', '1e38', '-o', inFolder('diverged.npy')]);
    expect([code, err]).toEqual([1, expect.stringContaining('error: All of 2 samples hold NaN or infinite values')]);
    await expect(readdir(folder)).resolves.not.toContain('diverged.npy');
  });

  it('takes endings in any case', async () => {
    for (const command of [['interpolate', images, '--pairs', '0:1', '--frames', '2'], ['sample', images, '--film', '--count', '1', '--frames', '2']]) {
      for (const ending of ['PNG', 'Npy']) expect((await ratioflow([...command, '--steps', '1', '--refine', '0', '-o', inFolder(`upper.${ending}`)])).err).toBe('');
      expect((await sharp(inFolder('upper.PNG')).metadata()).format).toBe('png');
      expect((await readNpy(inFolder('upper.Npy'))).shape).toEqual([1, 2, 1, 16, 16]);
      await Promise.all(['PNG', 'Npy'].map((ending) => rm(inFolder(`upper.${ending}`))));
    }
  });

  it.each([
    [['-o', 'x.jpg'], 1, 'x.jpg'],
    [['-o', 'x.gif', '--milliseconds', '70000'], 2, 'Allowed: an integer from 10 to 65535.'],
    [['-o', 'x.png', '--eta', '1e39'], 2, 'Allowed: a number of at least 0 that float32 can hold (at most 3.4e38).'],
    [['-o', 'folder/'], 1, 'are one file; the output folder/ must end in .png, .gif, .webp or .npy.'],
    [['-o', 'x.png', '--pairs', '0:1:2'], 2, '0:1:2 has 3 ends; allowed: two, such as 0:1.'],
    [['-o', 'x.png', '--pairs', 'a:1'], 2, 'Allowed: index:index or seed/index:seed/index'],
    [['-o', 'x.png', '--pairs', '18446744073709551616/0:1'], 2, 'Allowed: an integer from 0 to 2^64 - 1.'],
    [['-o', 'x.png', '--frames', '1'], 2, 'Allowed: an integer from 2.'],
  ])('refuses %j', async (args, code, message) => {
    const before = await readdir(folder);
    const result = await ratioflow(['interpolate', images, ...args]);
    expect([result.code, result.out]).toEqual([code, '']);
    expect(result.err).toContain(message);
    expect(await readdir(folder)).toEqual(before);
  });
});
