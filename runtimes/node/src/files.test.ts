import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgumentError, BundleError, FormatError, RatioflowError } from '@ratioflow/sdk';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { folderSource } from './folder-source.js';
import { encodePng, savePng } from './image.js';
import { readNpy, writeNpy } from './npy-file.js';
import { open } from './open.js';
import { writeFileAtomic } from './write-file.js';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'ratioflow-files-')); });
afterAll(() => rm(folder, { recursive: true }));

describe('writeFileAtomic', () => {
  it('writes, replaces, makes folders, and leaves nothing else', async () => {
    const path = join(folder, 'a/b/file.txt');
    await writeFileAtomic(path, 'one');
    await writeFileAtomic(path, Uint8Array.of(116, 119, 111));
    expect(await readFile(path, 'utf8')).toBe('two');
    expect(await readdir(join(folder, 'a/b'))).toEqual(['file.txt']);
  });

  it('keeps the old content when the new cannot be written, and says why', async () => {
    const path = join(folder, 'kept');
    await mkdir(path);
    await expect(writeFileAtomic(path, 'x')).rejects.toThrow(new RatioflowError(`${path} cannot be written: it is a folder.`));
    await writeFile(join(folder, 'plain'), 'plain');
    await expect(writeFileAtomic(join(folder, 'plain/inside'), 'x')).rejects.toThrow('a part of its path is a file, not a folder.');
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(await readFile(join(folder, 'plain'), 'utf8')).toBe('plain');
  });

  it('reports a full disk', async ({ skip }) => {
    // A file system of one page, where this may be mounted at all.
    const disk = join(folder, 'disk');
    await mkdir(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      return skip('this user cannot mount a small file system to fill');
    }
    try {
      const path = join(disk, 'big');
      await writeFileAtomic(path, 'small');
      await expect(writeFileAtomic(path, new Uint8Array(1e6))).rejects.toThrow(`${path} cannot be written: the disk is full.`);
      expect(await readdir(disk)).toEqual(['big']);
      expect(await readFile(path, 'utf8')).toBe('small');
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});

describe('folderSource', () => {
  it('reads files of the folder and nothing else', async () => {
    const bundle = join(folder, 'bundle');
    await mkdir(join(bundle, 'verify'), { recursive: true });
    await writeFile(join(bundle, 'verify/x.npy'), 'abc');
    await writeFile(join(folder, 'secret'), 'secret');
    await symlink('../secret', join(bundle, 'weights.bin'));
    await symlink('verify/x.npy', join(bundle, 'inside'));
    const source = folderSource(bundle);
    expect(source.location).toBe(bundle);
    expect(await source.read('verify/x.npy', 3)).toEqual(new Uint8Array([97, 98, 99]));
    expect(await source.read('inside')).toEqual(new Uint8Array([97, 98, 99]));
    for (const [name, message] of [
      ['weights.bin', `${bundle}: weights.bin is a link that leads out of the bundle.`],
      ['../secret', `${bundle}: ../secret is a link that leads out of the bundle.`],
      ['ratio.onnx', `${bundle}: ratio.onnx is missing.`],
      ['manifest.json', `${bundle} is no bundle: it has no manifest.json.`],
      ['verify', `${bundle}: verify is no regular file.`],
    ] as const) await expect(source.read(name)).rejects.toThrow(new BundleError(message));
    await expect(source.read('verify/x.npy', 2)).rejects.toThrow('verify/x.npy has 3 bytes; expected: 2.');
    await expect(folderSource(join(folder, 'absent')).read('manifest.json')).rejects.toThrow(`There is no bundle at ${join(folder, 'absent')}.`);
  });

  it.skipIf(process.platform === 'win32')('does not wait for a pipe', async () => {
    const bundle = join(folder, 'pipe');
    await mkdir(bundle);
    execFileSync('mkfifo', [join(bundle, 'manifest.json')]);
    await expect(folderSource(bundle).read('manifest.json')).rejects.toThrow('manifest.json is no regular file.');
  });

  it('is where open looks', async () => {
    await expect(open(join(folder, 'absent'))).rejects.toThrow(BundleError);
    await expect(open(folder, { threads: -1 })).rejects.toThrow(ArgumentError);
  });
});

describe('readNpy and writeNpy', () => {
  it('round-trip, and report what is no array', async () => {
    const path = join(folder, 'x.npy');
    const tensor = { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, NaN, -0, 1e-38) };
    await writeNpy(path, tensor);
    expect(await readNpy(path)).toEqual(tensor);
    await writeFile(path, 'no array');
    await expect(readNpy(path)).rejects.toThrow(FormatError);
    await expect(readNpy(join(folder, 'none.npy'))).rejects.toThrow(new ArgumentError(`${join(folder, 'none.npy')} cannot be read: there is no such file.`));
  });
});

describe('pictures', () => {
  const decode = async (png: Uint8Array): Promise<{ width: number; height: number; channels: number; pixels: number[] }> => {
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, channels: info.channels, pixels: Array.from(data) };
  };

  it('lay grey images out in a grid', async () => {
    // Three images of 1 × 2 pixels, two to a row, scaled by 2, a line of 9 between them.
    const images = { shape: [3, 1, 1, 2], data: Float32Array.of(-1, 1, 0, 0.5, -3, NaN) };
    const { width, height, channels, pixels } = await decode(await encodePng(images, { columns: 2, scale: 2, padding: 1, background: 9 }));
    expect([width, height]).toEqual([9, 5]);
    const grey = pixels.filter((_, i) => i % channels === 0);
    const row = [0, 0, 255, 255, 9, 128, 128, 191, 191];
    const last = [0, 0, 0, 0, 9, 9, 9, 9, 9];
    expect(grey).toEqual([...row, ...row, ...Array<number>(9).fill(9), ...last, ...last]);
  });

  it('keep colours apart, in any value range', async () => {
    const images = { shape: [1, 3, 1, 2], data: Float32Array.of(0, 1, 0.2, 0.4, 1, 0) };
    const { channels, pixels } = await decode(await encodePng(images, { valueRange: [0, 1] }));
    expect(channels).toBe(3);
    expect(pixels).toEqual([0, 51, 255, 255, 102, 0]);
  });

  it('are square by default, and written complete', async () => {
    const path = join(folder, 'grid.png');
    await savePng(path, { shape: [10, 1, 4, 4], data: new Float32Array(160) });
    expect(await sharp(path).metadata()).toMatchObject({ width: 4 * 4 + 3 * 2, height: 3 * 4 + 2 * 2, format: 'png' });
  });

  it('refuse what is no image', async () => {
    const grey = { shape: [1, 1, 2, 2], data: new Float32Array(4) };
    await expect(encodePng({ shape: [5, 2], data: new Float32Array(10) })).rejects.toThrow(new ArgumentError('A picture is made of images [N, 1 or 3, H, W]; got shape [5, 2] with 10 values.'));
    await expect(encodePng({ shape: [1, 2, 1, 1], data: new Float32Array(2) })).rejects.toThrow(ArgumentError);
    await expect(encodePng({ ...grey, shape: [1, 1, 3, 2] })).rejects.toThrow(ArgumentError);
    await expect(encodePng(grey, { columns: 0 })).rejects.toThrow('columns is 0; allowed: an integer from 1.');
    await expect(encodePng(grey, { scale: 0.5 })).rejects.toThrow('scale is 0.5');
    await expect(encodePng(grey, { valueRange: [1, 1] })).rejects.toThrow('valueRange is [1, 1]');
  });
});
