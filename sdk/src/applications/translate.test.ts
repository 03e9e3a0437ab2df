import { describe, expect, it } from 'vitest';
import { openBundle } from '../model.js';
import type { Model } from '../model.js';
import { fakeManifest, fakeRuntime, fakeSource } from '../testing/fake-bundle.js';
import { translate } from './translate.js';

const open = async (changes: Record<string, unknown> = {}): Promise<Model> => openBundle(await fakeSource({ ...fakeManifest([2]), valueRange: null, ...changes }), fakeRuntime());
const points = (count: number): { shape: number[]; data: Float32Array } => ({ shape: [count, 2], data: Float32Array.from({ length: 2 * count }, (_, i) => Math.sin(i)) });

describe('translate', () => {
  it('moves every image with the noise of its index, in any parts', async () => {
    const model = await open({ prior: { kind: 'source', z: 'uniform' } });
    const images = points(11);
    const whole = (await model.sample({ x0: images, seed: 4 })).samples.data;
    const parts = [images.data.slice(0, 10), images.data.slice(10, 12), images.data.slice(12)].map((data) => ({ shape: [data.length / 2, 2], data }));
    for (const given of [images, parts]) {
      const found: number[] = [];
      for await (const { source, translated, first } of translate(model, given, { seed: 4, batch: 3 })) {
        expect(first).toBe(found.length / 2);
        expect(source.data).toEqual(images.data.slice(2 * first, 2 * first + source.data.length));
        found.push(...translated.data);
      }
      expect(found).toEqual(Array.from(whole));
    }
  });

  it('names both sides of what does not fit', async () => {
    const first = async (model: Model, images: never): Promise<unknown> => (await translate(model, images).next()).value;
    await expect(first(await open(), points(1) as never)).rejects.toThrow('fake starts from its prior (gaussian), not from images');
    const source = await open({ prior: { kind: 'source', z: 'uniform' } });
    await expect(first(source, { shape: [1, 3], data: new Float32Array(3) } as never)).rejects.toThrow('images has shape [1, 3]; allowed: [N, 2].');
    await expect(first(source, { shape: [1, 2], data: new Uint8Array(2) } as never)).rejects.toThrow('images is');
    for (const wrong of ['first', 'count', 'x0', 'kapa']) await expect(translate(source, points(1), { [wrong]: 5 }).next()).rejects.toThrow(`Unknown option "${wrong}"; allowed: batch, signal, onProgress, seed, K`);
  });
});
