/** Images from folders and archives: pixels against sharp's own and against arithmetic, order, batches, and what is unreadable. */
import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import AdmZip from 'adm-zip';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ImageDataset } from './dataset.js';
import { openImageFolder, type ImageFolderOptions } from './image-folder.js';
import { drawOrder } from './order.js';

let folder: string;
let cache: string;
const names = ['a/0.png', 'a/1.jpg', 'b/2.webp', 'b/3.png', 'b/4.PNG'];
/** Image k is flat in (40 k, 255 − 40 k, 7 k), but for a red top left corner of 4×4. */
const colour = (k: number): { r: number; g: number; b: number } => ({ r: 40 * k, g: 255 - 40 * k, b: 7 * k });

async function picture(k: number, side = 20): Promise<Buffer> {
  const corner = await sharp({ create: { width: 4, height: 4, channels: 3, background: '#ff0000' } }).png().toBuffer();
  const image = sharp({ create: { width: side, height: side, channels: 3, background: colour(k) } }).composite([{ input: corner, top: 0, left: 0 }]);
  const kind = names[k]!.toLowerCase();
  return kind.endsWith('jpg') ? image.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer() : kind.endsWith('webp') ? image.webp({ lossless: true }).toBuffer() : image.png().toBuffer();
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-images-'));
  cache = join(folder, 'cache');
  for (const part of ['a', 'b']) await mkdir(join(folder, 'set', part), { recursive: true });
  for (const [k, name] of names.entries()) await writeFile(join(folder, 'set', name), await picture(k));
  await writeFile(join(folder, 'set', 'notes.txt'), 'not an image');
  const zip = new AdmZip();
  for (const [k, name] of names.entries()) zip.addFile(name, await picture(k));
  zip.writeZip(join(folder, 'set.zip'));
  execFileSync('tar', ['-cf', join(folder, 'set.tar'), '-C', join(folder, 'set'), ...names]);
  execFileSync('tar', ['-czf', join(folder, 'set.tgz'), '-C', join(folder, 'set'), ...names]);
});
afterAll(() => rm(folder, { recursive: true }));

const bytesOf = async (set: Awaited<ReturnType<typeof openImageFolder>>): Promise<Uint8Array> => {
  const out = new Uint8Array(set.size * set.sampleShape.reduce((a, b) => a * b, 1));
  await set.readBytes(out, 0, set.size);
  await set.close?.();
  return out;
};

/** For what only opening a set does. */
async function openAndClose(options: ImageFolderOptions): Promise<ImageDataset> {
  const set = await openImageFolder(options);
  await set.close?.();
  return set;
}

it('says of every unreadable image why, however many fail at once', async () => {
  await mkdir(join(folder, 'truncated'));
  const [whole, noise] = [await picture(0), await sharp(Buffer.from(Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * i) % 251)), { raw: { width: 64, height: 64, channels: 3 } }).jpeg().toBuffer()];
  await writeFile(join(folder, 'truncated', 'good.png'), whole);
  for (let i = 0; i < 60; i++) await writeFile(join(folder, 'truncated', `${i}.jpg`), noise.subarray(0, noise.length / 2));
  const messages: string[] = [];
  await openAndClose({ path: join(folder, 'truncated'), size: 10, cache, onMessage: (message) => messages.push(message) });
  const [record] = (await Promise.all((await readdir(cache)).filter((name) => name.endsWith('.json')).map((name) => readFile(join(cache, name), 'utf8')))).filter((text) => text.includes('59.jpg'));
  const { unreadable } = JSON.parse(record!) as { unreadable: string[] };
  expect(unreadable).toHaveLength(60);
  expect(unreadable.filter((line) => !/: (VipsJpeg: premature end of JPEG image|cannot be decoded, truncated or damaged)$/.test(line))).toEqual([]);
});

it('names classes without the folders that all images lie in', async () => {
  execFileSync('tar', ['-cf', join(folder, 'inside.tar'), '-C', folder, ...names.map((name) => `set/${name}`)]);
  const set = await openAndClose({ path: join(folder, 'inside.tar'), size: 10, cache });
  expect(set.classNames).toEqual(['a', 'b']);
  expect([...set.labels!]).toEqual([0, 0, 1, 1, 1]);
  // One folder alone, or images beside folders, are no classes, wherever they lie.
  execFileSync('tar', ['-cf', join(folder, 'one.tar'), '-C', folder, 'set/a/0.png', 'set/a/1.jpg']);
  expect((await openAndClose({ path: join(folder, 'one.tar'), size: 10, cache })).labels).toBeNull();
  await writeFile(join(folder, 'beside.png'), await picture(0));
  execFileSync('tar', ['-cf', join(folder, 'beside.tar'), '--transform', 's,^beside,set/beside,', '-C', folder, 'beside.png', 'set/a/0.png']);
  expect((await openAndClose({ path: join(folder, 'beside.tar'), size: 10, cache })).labels).toBeNull();
});

it('leaves out what lies in hidden folders, in folders and archives alike', async () => {
  for (const part of ['a', 'b', '.ipynb_checkpoints', 'b/.thumbnails', '__MACOSX/a']) {
    await mkdir(join(folder, 'hiding', part), { recursive: true });
    await writeFile(join(folder, 'hiding', part, '0.png'), await picture(0));
  }
  execFileSync('tar', ['-cf', join(folder, 'hiding.tar'), '-C', join(folder, 'hiding'), '.']);
  const zip = new AdmZip();
  zip.addLocalFolder(join(folder, 'hiding'), 'hiding');
  zip.writeZip(join(folder, 'hiding.zip'));
  for (const what of ['hiding', 'hiding.tar', 'hiding.zip']) expect(await openAndClose({ path: join(folder, what), size: 10, cache }), what).toMatchObject({ size: 2, classNames: ['a', 'b'] });
});

describe.each(['set', 'set.zip', 'set.tar', 'set.tgz'])('%s', (what) => {
  it('holds the images in order, cut out of the middle, with folders as classes', async () => {
    const set = await openImageFolder({ path: join(folder, what), size: 10, centreCrop: 10, cache });
    expect(set).toMatchObject({ size: 5, sampleShape: [3, 10, 10], valueRange: [-1, 1], classNames: ['a', 'b'] });
    expect([...set.labels!]).toEqual([0, 0, 1, 1, 1]);
    const bytes = await bytesOf(set);
    for (let k = 0; k < 5; k++) {
      const { r, g, b } = colour(k);
      [r, g, b].forEach((value, channel) => {
        const plane = bytes.subarray((k * 3 + channel) * 100, (k * 3 + channel + 1) * 100);
        // JPEG loses a level or two; the others are exact.
        expect(Math.max(...Array.from(plane, (byte) => Math.abs(byte - value))), `image ${k}, channel ${channel}`).toBeLessThanOrEqual(k === 1 ? 2 : 0);
      });
    }
  });
});

it('keeps what it has decoded, and notices a change', async () => {
  const own = join(folder, 'own-cache');
  await openAndClose({ path: join(folder, 'set'), size: 12, cache: own });
  const first = (await readdir(own)).sort();
  await openAndClose({ path: join(folder, 'set'), size: 12, cache: own });
  expect((await readdir(own)).sort()).toEqual(first);
  await openAndClose({ path: join(folder, 'set'), size: 14, cache: own });
  expect((await readdir(own)).length).toBe(4);
});

it('lets go of what was not used for longest when the cache grows beyond its limit', async () => {
  const own = join(folder, 'small-cache');
  const prepare = (size: number): Promise<ImageDataset> => openAndClose({ path: join(folder, 'set'), size, cache: own });
  // 5 images of 3 · 10² and 3 · 20² bytes: 1.5 and 6 kB.
  for (const size of [10, 20]) await prepare(size);
  const large = (await readdir(own)).filter((name) => name.endsWith('.bytes'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await prepare(10);
  vi.stubEnv('RATIOFLOW_CACHE_GB', String(7e-6));
  await prepare(12);
  vi.unstubAllEnvs();
  const sizes = await Promise.all((await readdir(own)).filter((name) => name.endsWith('.bytes')).map(async (name) => (await stat(join(own, name))).size));
  expect(large).toHaveLength(2);
  expect(sizes.sort((a, b) => a - b)).toEqual([1500, 5 * 3 * 144]);
  expect(await readdir(own)).toHaveLength(4);
  vi.stubEnv('RATIOFLOW_CACHE_GB', 'much');
  await expect(prepare(10)).rejects.toThrow('RATIOFLOW_CACHE_GB is "much"; allowed: a number of gigabytes');
  vi.unstubAllEnvs();
});

it('reads a set that was opened before another took its place in the cache', async () => {
  const own = join(folder, 'tiny-cache');
  vi.stubEnv('RATIOFLOW_CACHE_GB', '0');
  const first = await openImageFolder({ path: join(folder, 'set'), size: 10, centreCrop: 10, cache: own });
  const second = await openImageFolder({ path: join(folder, 'set'), size: 20, cache: own });
  vi.unstubAllEnvs();
  expect((await readdir(own)).filter((name) => name.endsWith('.bytes'))).toHaveLength(1);
  expect((await bytesOf(first)).length).toBe(5 * 3 * 100);
  await second.close?.();
});

it('ends with its signal, and takes away what ended processes have left', async () => {
  const own = join(folder, 'ended-cache');
  await mkdir(own);
  // While a folder is listed, and while an archive is gone through.
  for (const what of ['set', 'set.zip']) await expect(openImageFolder({ path: join(folder, what), size: 10, cache: own, signal: AbortSignal.abort(new Error('Ctrl-C')) })).rejects.toThrow('Ctrl-C');
  expect(await readdir(own)).toEqual([]);
  const key = '0'.repeat(32);
  // Processes have numbers of at most 2²²; that of this test lives.
  const [forsaken, alive, recent] = [`${key}.bytes.99999999.tmp`, `${key}.bytes.${process.pid}.tmp`, `${key}.bytes.99999998.tmp`];
  for (const name of [forsaken, alive, recent]) await writeFile(join(own, name), 'part of a set');
  for (const name of [forsaken, alive]) await utimes(join(own, name), 0, 0);
  await openAndClose({ path: join(folder, 'set'), size: 10, cache: own });
  expect((await readdir(own)).filter((name) => name.endsWith('.tmp')).sort()).toEqual([alive, recent].sort());
});

it('draws batches by the noise specification: the image, mirrored, cut out anywhere', async () => {
  const set = await openImageFolder({ path: join(folder, 'set'), size: 16, resize: 20, cache });
  const whole = await openImageFolder({ path: join(folder, 'set'), size: 20, flip: false, cache });
  const stored = await bytesOf(whole);
  const draw = { seed: 4, iteration: 3, count: 32 };
  const out = new Float32Array(32 * 3 * 256);
  await set.batch(out, draw);
  const { indices, flips } = drawOrder(draw, 5);
  const places = new Set<string>();
  for (let s = 0; s < 32; s++) {
    // Wherever it was cut out, one place of the 5 × 5 must fit every pixel.
    const fits = Array.from({ length: 25 }, (_, p) => [Math.floor(p / 5), p % 5] as const).filter(([top, left]) => {
      for (let i = 0; i < 768; i++) {
        const [channel, row, column] = [Math.floor(i / 256), Math.floor(i / 16) % 16, i % 16];
        const from = ((indices[s]! * 3 + channel) * 20 + top + row) * 20 + left + (flips[s] === 1 ? 15 - column : column);
        if (out[s * 768 + i] !== Math.fround(stored[from]! / 127.5 - 1)) return false;
      }
      return true;
    });
    expect(fits.length, `sample ${s}`).toBeGreaterThan(0);
    if (fits.length === 1) places.add(fits[0]!.join());
  }
  expect(places.size).toBeGreaterThan(3);
  expect(new Set(flips).size).toBe(2);
  const again = new Float32Array(out.length);
  await set.batch(again, draw);
  expect(again).toEqual(out);
  await set.close?.();
  await whole.close?.();
});

it('makes grey images of one channel, as grey as Pillow makes them', async () => {
  // Image.new('RGB', (8, 8), colour).convert('L').getpixel((0, 0)) of Pillow 13.
  const greys = [[255, 0, 0, 76], [0, 255, 0, 150], [0, 0, 255, 29], [255, 255, 0, 226], [10, 200, 30, 124], [77, 77, 77, 77]] as const;
  const path = join(folder, 'colours');
  await mkdir(path);
  for (const [i, [r, g, b]] of greys.entries()) await writeFile(join(path, `${i}.png`), await sharp({ create: { width: 8, height: 8, channels: 3, background: { r, g, b } } }).png().toBuffer());
  const set = await openImageFolder({ path, size: 8, channels: 1, cache });
  const bytes = await bytesOf(set);
  expect(bytes.length).toBe(greys.length * 64);
  for (const [i, [, , , grey]] of greys.entries()) expect([...bytes.subarray(i * 64, (i + 1) * 64)]).toEqual(Array(64).fill(grey));
});

it('says of grey images that they need no colours, and of small ones that they grow', async () => {
  const grey = join(folder, 'grey');
  await mkdir(grey);
  for (const k of [0, 3]) await writeFile(join(grey, `${k}.png`), await sharp(await picture(k)).toColourspace('b-w').png().toBuffer());
  // Twice: found while decoding, and in the record of that.
  for (let time = 0; time < 2; time++) await expect(openImageFolder({ path: grey, size: 8, cache })).rejects.toThrow(/every image is grey.*Set data\.channels to 1/);
  expect(await openAndClose({ path: grey, size: 8, channels: 3, cache })).toMatchObject({ size: 2, sampleShape: [3, 8, 8] });
  expect(await openAndClose({ path: grey, size: 8, channels: 1, cache })).toMatchObject({ size: 2, sampleShape: [1, 8, 8] });
  await writeFile(join(grey, '4.png'), await picture(4, 6));
  const messages: string[] = [];
  expect(await openAndClose({ path: grey, size: 8, cache, onMessage: (message) => messages.push(message) })).toMatchObject({ size: 3 });
  expect(messages).toEqual([`${grey}: 1 of 3 images are smaller than 8×8 and were enlarged.`]);
});

describe('what cannot be read', () => {
  it('is left out by name, or stops the run by option', async () => {
    const bad = join(folder, 'bad');
    await mkdir(bad);
    for (let k = 0; k < 3; k++) await writeFile(join(bad, `${k}.png`), await picture(k === 1 ? 0 : k === 2 ? 3 : 0));
    await truncate(join(bad, '1.png'), 60);
    await writeFile(join(bad, '4.jpg'), 'text');
    const messages: string[] = [];
    const set = await openAndClose({ path: bad, size: 8, cache, onMessage: (message) => messages.push(message) });
    expect(set.size).toBe(2);
    expect(messages.join()).toMatch(/2 unreadable images left out: 1\.png: .*; 4\.jpg: /);
    await expect(openImageFolder({ path: bad, size: 8, cache, onUnreadable: 'stop' })).rejects.toThrow(/1\.png: .*set data\.onUnreadable to skip/);
    await expect(openImageFolder({ path: bad, size: 8, cache: join(folder, 'fresh'), onUnreadable: 'stop' })).rejects.toThrow(/unreadable image 1\.png/);
    expect(await readdir(join(folder, 'fresh'))).toEqual([]);
  });

  /** Opens what has the images 0 and 3 alone, and tells what was left out. */
  async function leftOut(path: string): Promise<string> {
    const messages: string[] = [];
    const set = await openAndClose({ path, size: 8, cache, onMessage: (message) => messages.push(message) });
    expect(set.size).toBe(2);
    return messages.join();
  }

  it('in a folder: links to nothing, to the folder itself and out of it, and what is no file', async () => {
    const odd = join(folder, 'odd');
    await mkdir(join(odd, 'sub.jpg'), { recursive: true });
    await mkdir(join(folder, 'other'));
    await writeFile(join(odd, 'sub.jpg', '0.png'), await picture(0));
    await writeFile(join(folder, 'other', '3.png'), await picture(3));
    execFileSync('mkfifo', [join(odd, 'pipe.png')]);
    for (const [name, target] of [['gone.png', 'nowhere'], ['gone.txt', 'nowhere'], ['again', '.'], ['linked', '../other'], ['up', '..']] as const) await symlink(target, join(odd, name));
    await symlink('../odd', join(folder, 'other', 'back'));
    expect(await leftOut(odd)).toMatch(/: 5 unreadable images left out: again: a link to a folder that it lies in; gone\.png: a link to a file that is not there; linked\/back: a link to a folder that it lies in; pipe\.png: neither a file nor a folder; up: a link to a folder that it lies in\.$/);
  });

  it('in a zip: damaged, encrypted and strangely compressed entries', async () => {
    const zip = new AdmZip();
    for (const [name, k] of [['0.png', 0], ['1.png', 0], ['2.png', 0], ['3.png', 3], ['4.png', 0]] as const) zip.addFile(name, await picture(k));
    const bytes = zip.toBuffer();
    /** Of the k-th entry: where its record in the central directory begins, with its flags at 8, its method at 10. */
    const record = (k: number): number => Array.from({ length: k + 1 }).reduce<number>((at) => bytes.indexOf('PK\x01\x02', at + 1, 'latin1'), 0);
    bytes.writeUInt16LE(bytes.readUInt16LE(record(1) + 8) | 1, record(1) + 8);
    bytes.writeUInt16LE(14, record(2) + 10);
    // A block of the reserved type, where the data of the last entry begin.
    bytes[bytes.readUInt32LE(record(4) + 42) + 30 + '4.png'.length] = 0xff;
    await writeFile(join(folder, 'odd.zip'), bytes);
    expect(await leftOut(join(folder, 'odd.zip'))).toMatch(/1\.png: encrypted: unpack .*; 2\.png: unsupported compression method 14 \(LZMA\): .*; 4\.png: damaged in the archive \(/);
  });

  it('in a tar: links', async () => {
    const links = join(folder, 'links');
    await mkdir(links);
    for (const k of [0, 3]) await writeFile(join(links, `${k}.png`), await picture(k));
    await link(join(links, '0.png'), join(links, '4.png'));
    await symlink('0.png', join(links, '5.png'));
    execFileSync('tar', ['-cf', join(folder, 'links.tar'), '-C', links, '0.png', '3.png', '4.png', '5.png']);
    expect(await leftOut(join(folder, 'links.tar'))).toMatch(/4\.png: a link to 0\.png: pack the images with tar --dereference --hard-dereference; 5\.png: a link to 0\.png: /);
  });

  it('is said of images that are too small, of empty folders, of damaged archives and of other files', async () => {
    await expect(openImageFolder({ path: join(folder, 'set'), size: 8, centreCrop: 21, cache, onUnreadable: 'stop' })).rejects.toThrow(/20×20 is smaller than data\.centreCrop = 21/);
    await expect(openImageFolder({ path: join(folder, 'set'), size: 16, resize: 12, cache })).rejects.toThrow('data.resize = 12 is smaller than data.size = 16');
    await mkdir(join(folder, 'empty'));
    await expect(openImageFolder({ path: join(folder, 'empty'), size: 8, cache })).rejects.toThrow(/empty holds no readable image/);
    await expect(openImageFolder({ path: join(folder, 'nowhere'), size: 8, cache })).rejects.toThrow(/nowhere" cannot be read/);
    await expect(openImageFolder({ path: join(folder, 'set', 'notes.txt'), size: 8, cache })).rejects.toThrow('neither a folder nor a .zip');
    const closed = join(folder, 'set', 'notes.txt', 'cache');
    await expect(openImageFolder({ path: join(folder, 'set'), size: 8, cache: closed })).rejects.toThrow(`Decoded images cannot be kept in ${closed} (ENOTDIR: not a directory, mkdir '${closed}'). Name a folder that can be written into in data.cache.`);
    const outside = new AdmZip();
    outside.addFile('up/0.png', await picture(0));
    await writeFile(join(folder, 'outside.zip'), Buffer.from(outside.toBuffer().toString('latin1').replaceAll('up/0.png', '../0.png'), 'latin1'));
    await expect(openImageFolder({ path: join(folder, 'outside.zip'), size: 8, cache })).rejects.toThrow(/invalid relative path: \.\.\/0\.png\)\. No archive should name a file so/);
    for (const what of ['set.zip', 'set.tgz']) {
      await truncate(join(folder, what), 700);
      await expect(openImageFolder({ path: join(folder, what), size: 8, cache })).rejects.toThrow(/archive cannot be read .*fetch it again/);
    }
  });
});
