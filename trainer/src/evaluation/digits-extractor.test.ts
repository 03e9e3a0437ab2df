/** The built-in extractor, trained for two iterations: made once, kept, outside of everything else; nothing is left of a training that ends early. */
import { cp, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRuntime } from '@ratioflow/node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openSampleSource } from '../data/sample-source.js';
import { digitsExtractor } from './digits-extractor.js';
import { openExtractor } from './extractor.js';

// Seconds, but TensorFlow wants all cores: other work may stretch them.
vi.setConfig({ testTimeout: 300_000 });

let folder: string;
const overrides = ['training.iterations=2', 'training.batch=8', 'network.width=0.25', 'test={ name: mnist, split: test, range: [0, 100] }'];
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'ratioflow-extractors-')); });
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => { vi.unstubAllEnvs(); });

describe('digitsExtractor', () => {
  it('is trained once; its features are what the last layer of the classifier sees', async () => {
    const messages: string[] = [];
    const { model, facts } = await digitsExtractor({ folder, overrides, onMessage: (message) => messages.push(message) });
    expect(messages[0]).toMatch(/^The extractor "digits" is trained now, once: 2 iterations/);
    expect(facts).toMatchObject({ iterations: 2, testImages: 100 });
    expect(await readdir(folder)).toHaveLength(1);
    const before = await readFile(model);
    expect(await digitsExtractor({ folder, overrides, onMessage: () => expect.unreachable('it is trained again') })).toEqual({ model, facts });

    const digits = await openSampleSource(['mnist:test'], [1, 28, 28]);
    const images = await digits.read(0, 5);
    const extractor = await openExtractor(model, { threads: 1 });
    const features = await extractor.features(images);
    await extractor.dispose();
    const session = await createRuntime({ threads: 1 }).load({ name: 'classifier', model: new Uint8Array(before) });
    const { features: direct, logits } = await session.run({ x: images });
    await session.dispose();
    expect(features.shape).toEqual(direct!.shape);
    features.data.forEach((value, i) => expect(value).toBeCloseTo(Number(direct!.data[i]), 5));
    expect(logits!.shape).toEqual([5, 10]);
    expect(features.shape[1]).toBeGreaterThan(10);
  });

  it('leaves nothing of a training that ends early', async () => {
    const before = await readdir(folder);
    await expect(digitsExtractor({ folder, overrides: [...overrides, 'seed=1'], signal: AbortSignal.abort() })).rejects.toThrow();
    expect(await readdir(folder)).toEqual(before);
  });

  it('answers to the name "digits", with its hash and facts', async () => {
    vi.stubEnv('RATIOFLOW_CACHE', join(folder, 'cache'));
    // Where the real one would be: the small one is put there.
    let place = '';
    const note = (message: string): void => { place ||= /It is kept in (.*)\.$/.exec(message)?.[1] ?? ''; };
    await expect(digitsExtractor({ signal: AbortSignal.abort(), onMessage: note })).rejects.toThrow();
    expect(place).toContain(join(folder, 'cache', 'extractors'));
    const { model } = await digitsExtractor({ folder, overrides });
    await cp(join(model, '..'), place, { recursive: true });
    const [named, direct] = await Promise.all([openExtractor('digits', { threads: 1 }), openExtractor(model, { threads: 1 })]);
    expect([named.name, named.sha256, named.channels]).toEqual(['digits', direct.sha256, 1]);
    expect(named.facts).toMatchObject({ iterations: 2, testImages: 100 });
    await Promise.all([named.dispose(), direct.dispose()]);
  });
});
