import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from '@ratioflow/sdk';
import type { Interpolation } from '@ratioflow/sdk/applications';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeAnimation, saveAnimation } from './animation.js';
import { saveFilm } from './film.js';
import type { Film } from './film.js';
import { readNpy } from './npy-file.js';
import { saveInterpolation } from './save-interpolation.js';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'ratioflow-animation-')); });
afterAll(() => rm(folder, { recursive: true }));

/** Images of one grey each. */
const grey = (count: number, levels: (n: number) => number, channels = 1): Tensor => ({
  shape: [count, channels, 4, 4], data: Float32Array.from({ length: count * channels * 16 }, (_, i) => levels(Math.floor(i / (16 * channels))) / 127.5 - 1),
});
/** Grey level at a place of a page, as sharp decodes it. */
async function levelAt(file: string | Uint8Array, page: number, x: number, y: number): Promise<number> {
  const { data, info } = await sharp(file, { page }).raw().toBuffer({ resolveWithObject: true });
  return data[(y * info.width + x) * info.channels]!;
}

describe('animations', () => {
  it.each(['gif', 'webp'] as const)('show every frame for its time, there and back, as %s', async (format) => {
    const bytes = await encodeAnimation([0, 100, 200].map((level) => grey(2, (n) => level + 50 * n)), format, { padding: 0, milliseconds: 50, rest: 300, back: true });
    const { pages, delay, loop, width, pageHeight, height } = await sharp(bytes, { animated: true }).metadata();
    expect({ pages, delay, loop, width, pageHeight: pageHeight ?? height }).toEqual({ pages: 4, delay: [300, 50, 300, 50], loop: 0, width: 8, pageHeight: 4 });
    for (const [page, level] of [0, 100, 200, 100].entries()) {
      expect(Math.abs(await levelAt(bytes, page, 1, 1) - level)).toBeLessThanOrEqual(2);
      expect(Math.abs(await levelAt(bytes, page, 6, 3) - level - 50)).toBeLessThanOrEqual(2);
    }
  });

  it('are refused with the reason', async () => {
    await expect(encodeAnimation([], 'gif')).rejects.toThrow('An animation needs at least one frame.');
    await expect(encodeAnimation([grey(1, () => 0), grey(2, () => 0)], 'gif')).rejects.toThrow('have one shape; got [1, 1, 4, 4] and [2, 1, 4, 4]');
    await expect(encodeAnimation([grey(1, () => 0)], 'gif', { milliseconds: 0 })).rejects.toThrow('milliseconds is 0; allowed');
    await expect(saveAnimation(join(folder, 'a.mp4'), [grey(1, () => 0)])).rejects.toThrow('a.mp4 must end in .gif or .webp.');
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('saveFilm', () => {
  const strip = grey(6, (n) => 40 * n);
  const film: Film = { strip: { shape: [2, 3, 1, 4, 4], data: strip.data }, steps: [0, 30, 40], bridged: 2, statistics: {} as never };
  it('draws a rule where refinement begins', async () => {
    const path = join(folder, 'film.png');
    await saveFilm(path, film);
    expect(await sharp(path).metadata()).toMatchObject({ width: 16, height: 10 });
    // Columns 4–5 lie between prior and x_K, 10–11 between bridging and refinement, over the whole height.
    for (const y of [0, 4, 9]) expect([await levelAt(path, 0, 4, y), await levelAt(path, 0, 10, y), await levelAt(path, 0, 11, y)]).toEqual([40, 255, 255]);
    expect(await levelAt(path, 0, 6, 0)).toBe(40);
    expect(await levelAt(path, 0, 15, 9)).toBe(200);
  });

  it('moves, and is an array', async () => {
    const moving = join(folder, 'film.webp');
    await saveFilm(moving, film, { padding: 0, columns: 2 });
    expect(await sharp(moving, { animated: true }).metadata()).toMatchObject({ pages: 3, width: 8 });
    expect([await levelAt(moving, 1, 0, 0), await levelAt(moving, 1, 7, 0)]).toEqual([40, 160]);
    await saveFilm(join(folder, 'film.npy'), film);
    expect((await readNpy(join(folder, 'film.npy'))).shape).toEqual([2, 3, 1, 4, 4]);
    await expect(saveFilm(join(folder, 'film.jpg'), film)).rejects.toThrow('must end in .png, .gif, .webp or .npy');
  });
});

describe('saveInterpolation', () => {
  const part = (base: number): Interpolation['samples'] => ({ shape: [2, 3, 1, 4, 4], data: grey(6, (n) => base + 10 * n).data as Float32Array });
  const paths: Interpolation = { prior: part(0), bridged: part(80), samples: part(160), provider: 'cpu', warnings: [] };

  it('draws a row for every path, or three with its stages', async () => {
    const [plain, stages] = [join(folder, 'plain.png'), join(folder, 'stages.png')];
    await saveInterpolation(plain, paths, { padding: 0 });
    expect(await sharp(plain).metadata()).toMatchObject({ width: 12, height: 8 });
    expect([await levelAt(plain, 0, 0, 0), await levelAt(plain, 0, 8, 4)]).toEqual([160, 210]);
    await saveInterpolation(stages, paths, { padding: 0, stages: true });
    expect(await sharp(stages).metadata()).toMatchObject({ width: 12, height: 24 });
    for (const [row, level] of [0, 80, 160, 30, 110, 190].entries()) expect(await levelAt(stages, 0, 0, 4 * row)).toBe(level);
  });

  it('moves along the paths', async () => {
    const path = join(folder, 'paths.webp');
    await saveInterpolation(path, paths, { padding: 0, stages: true });
    expect(await sharp(path, { animated: true }).metadata()).toMatchObject({ pages: 4, width: 12 });
    expect([await levelAt(path, 2, 0, 4), await levelAt(path, 2, 11, 4)]).toEqual([50, 210]);
    await saveInterpolation(join(folder, 'paths.npy'), paths, { stages: true });
    const { shape, data } = await readNpy(join(folder, 'paths.npy'));
    expect([shape, data[96]]).toEqual([[3, 2, 3, 1, 4, 4], paths.bridged.data[0]]);
  });
});
