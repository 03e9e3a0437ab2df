import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeNpy } from '@ratioflow/node';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSampleSource, partsOf } from './sample-source.js';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'ratioflow-samples-')); });
afterAll(() => rm(folder, { recursive: true }));

describe('openSampleSource', () => {
  const image = async (path: string, colour: { r: number; g: number; b: number }, size = 4): Promise<void> => {
    await sharp({ create: { width: size, height: size, channels: 3, background: colour } }).png().toFile(path);
  };

  it('reads folders, files, arrays and sets in order', async () => {
    const images = await mkdtemp(join(folder, 'images-'));
    for (const [i, level] of [[2, 255], [0, 0], [1, 51]] as const) await image(join(images, `${i}.png`), { r: level, g: level, b: level });
    const source = await openSampleSource([images], [1, 4, 4]);
    expect([source.size, source.nameOf(1)]).toEqual([3, join(images, '1.png')]);
    expect(Array.from((await source.read(0, 3)).data.filter((_, i) => i % 16 === 7))).toEqual([-1, Math.fround(51 / 127.5 - 1), 1]);
    // What macOS leaves beside files is none of them.
    await writeFile(join(images, '._0.png'), 'x');
    expect((await openSampleSource([images], [1, 4, 4])).size).toBe(3);
    const files = await openSampleSource([join(images, '2.png'), join(images, '0.png')], [3, 4, 4]);
    expect((await files.read(0, 2)).data[0]).toBe(1);
    const bytes = join(folder, 'bytes.npy');
    await writeNpy(bytes, { shape: [5, 1, 2, 2], data: Uint8Array.from({ length: 20 }, (_, i) => 10 * i) });
    const array = await openSampleSource([bytes], [1, 2, 2]);
    const parts: number[] = [];
    for await (const { data } of partsOf(array, 2)) parts.push(...data);
    expect(parts).toEqual(Array.from({ length: 20 }, (_, i) => Math.fround(10 * i / 127.5 - 1)));
    await array.close();
    const digits = await openSampleSource(['mnist:test'], [1, 28, 28]);
    const sevens = await openSampleSource(['{name: mnist, split: test, classes: [7]}'], [1, 28, 28]);
    expect([digits.size, digits.labels![0], sevens.size]).toEqual([10_000, 7, digits.labels!.filter((label) => label === 7).length]);
    expect((await sevens.read(0, 1)).data).toEqual((await digits.read(0, 1)).data);
  });

  it('takes a block of an array with all its fields, floats in the values of data', async () => {
    const [bytes, labels, floats] = ['block.npy', 'labels.npy', 'FLOATS.NPY'].map((name) => join(folder, name)) as [string, string, string];
    await writeNpy(bytes, { shape: [6, 1, 2, 2], data: Uint8Array.from({ length: 24 }, (_, i) => 10 * i) });
    await writeNpy(labels, { shape: [6], data: Uint8Array.of(0, 1, 0, 1, 0, 1) });
    await writeNpy(floats, { shape: [6, 1, 2, 2], data: Float32Array.from({ length: 24 }, (_, i) => i / 12 - 1) });
    const chosen = await openSampleSource([`{name: npy, path: ${bytes}, labels: ${labels}, range: [1, 5], classes: [1], flip: true}`], [1, 2, 2], [0, 255]);
    expect([chosen.size, [...chosen.labels!]]).toEqual([2, [1, 1]]);
    expect(Array.from((await chosen.read(0, 2)).data, Math.round)).toEqual([40, 50, 60, 70, 120, 130, 140, 150]);
    const labelled = await openSampleSource([`{name: npy, path: ${floats}, labels: ${labels}}`], [1, 2, 2], [0, 1]);
    expect([...labelled.labels!]).toEqual([0, 1, 0, 1, 0, 1]);
    expect((await labelled.read(5, 1)).data[0]).toBeCloseTo(20 / 24, 6);
    await labelled.close();
    const plain = await openSampleSource([floats], [1, 2, 2]);
    await plain.close();
    await expect(openSampleSource([`{name: npy, path: ${floats}, range: [0, 2]}`], [1, 2, 2])).rejects.toThrow('FLOATS.NPY: data.flip, data.classes and data.range need uint8 images; this array is float32.');
  });

  it('names both sides of what does not fit', async () => {
    const red = join(folder, 'red.png');
    await image(red, { r: 255, g: 0, b: 0 });
    const refused = async (paths: string[], shape: number[], message: string): Promise<void> => {
      await expect((async () => (await openSampleSource(paths, shape)).read(0, 1))()).rejects.toThrow(message);
    };
    await refused([red], [1, 4, 4], `${red} has colours; needed: grey images [1, 4, 4]. Convert the images first.`);
    await refused([red], [3, 5, 5], `${red} has 4 × 4 pixels; needed: 5 × 5. Resize or crop the images first, or name their folder as '{name: images, path: ${folder}, size: 5}', which does both.`);
    await refused([red], [2], `${red} holds images; the samples here are points [2]: give an array .npy.`);
    await refused([red, 'notes.txt'], [3, 4, 4], 'notes.txt is no image file');
    await refused([join(folder, 'absent.png')], [3, 4, 4], 'absent.png is no image that can be read');
    await refused([join(folder, 'absent')], [3, 4, 4], 'absent is not there: name a folder of images');
    await refused([await mkdtemp(join(folder, 'empty-'))], [3, 4, 4], 'holds no images (.png, .jpg, .jpeg, .webp).');
    await refused([], [3, 4, 4], 'No images were given');
    await refused(['mnist:test'], [3, 32, 32], 'mnist (test) has samples of [1, 28, 28]; needed: [3, 32, 32].');
    await refused(['mnist:validation'], [1, 28, 28], 'split = "validation" (allowed: train, test)');
    await refused(['{name: mnist, classes: [11]}'], [1, 28, 28], 'has no image of class 11');
    const wide = join(folder, 'wide.npy');
    await writeNpy(wide, { shape: [2, 3, 4, 4], data: new Float32Array(96).fill(200) });
    const last = join(folder, 'last.npy');
    await writeNpy(last, { shape: [2, 8, 8, 3], data: new Float32Array(384) });
    await refused([last], [3, 8, 8], 'images of shape [8, 8, 3] look as if their channels came last; samples are [N, C, H, W]. In NumPy: np.ascontiguousarray(array.transpose(0, 3, 1, 2)).');
    await refused([wide], [1, 4, 4], `${wide} has samples of [3, 4, 4]; needed: [1, 4, 4].`);
    await refused([wide], [3, 4, 4], `${wide}: sample 0 holds the value 200; allowed: values in [−1, 1], or bytes (uint8) from 0 to 255.`);
  });
});
