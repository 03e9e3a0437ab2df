/** What a provider computes is compared with what the bundle's author computed, before anything is made of it. */
import { BundleError, RuntimeError, openBundle } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import type { Model, Tensor } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { fakeManifest, fakeRuntime, fakeSource } from '../../../sdk/src/testing/fake-bundle.js';
import { memorySource } from './bundle-source.js';
import type { Engine } from './engine.js';
import type { ProviderName } from './providers.js';
import { runtimeOn } from './runtime.js';

const x: Tensor = { shape: [2, 2], data: Float32Array.of(0.5, -0.25, 1, 2) };
const off = (tensor: Tensor): Tensor => ({ ...tensor, data: (tensor.data as Float32Array).map((value) => value + 0.01) });

/** A bundle of a pair of Gaussians in memory, with a vector for `ratio`. */
async function bundle(change: (files: Map<string, Uint8Array>) => void = () => undefined): Promise<ReturnType<typeof memorySource>> {
  const session = await fakeRuntime().load({ name: 'ratio.onnx', model: new Uint8Array(0) });
  const { logRatio } = await session.run({ x });
  const manifest = { ...fakeManifest(), verification: [{ graph: 'ratio', inputs: { x: 'verify/x.npy' }, outputs: { logRatio: 'verify/r.npy' } }] };
  const { files } = await fakeSource(manifest, { 'verify/x.npy': encodeNpy(x), 'verify/r.npy': encodeNpy(logRatio!) });
  change(files);
  return memorySource(files);
}

/** Providers that compute right, wrong, not at all, or do not load. */
function engine(behaviour: Partial<Record<ProviderName, 'right' | 'wrong' | 'throws' | 'refuses'>>): Engine & { readonly disposed: string[] } {
  const disposed: string[] = [];
  return {
    disposed,
    probe: (provider) => Promise.resolve(behaviour[provider] === undefined ? 'no such device' : undefined),
    load: async (provider, graph) => {
      const kind = behaviour[provider];
      if (kind === 'refuses') throw new RuntimeError('no kernel for ReduceSum');
      const inner = await fakeRuntime().load({ ...graph, externalData: (location) => Promise.resolve(graph.externalData.get(location)!) });
      return {
        ...inner, provider,
        run: async (feeds, outputs) => {
          if (kind === 'throws') throw new RuntimeError('device lost');
          const results = await inner.run(feeds, outputs);
          return kind === 'wrong' ? Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, off(tensor)])) : results;
        },
        dispose: () => { disposed.push(provider); return Promise.resolve(); },
      };
    },
  };
}

const score = async (model: Model): Promise<number[]> => Array.from(await model.score(x));

describe('the self-test', () => {
  it.each(['wrong', 'throws', 'refuses'] as const)('passes over a provider that %s, and says so', async (kind) => {
    const made = engine({ cuda: kind, cpu: 'right' });
    const model = await openBundle(await bundle(), runtimeOn(made, ['cuda', 'cpu']));
    const expected = await score(await openBundle(await bundle(), runtimeOn(engine({ cpu: 'right' }), ['cpu'])));
    expect(await score(model)).toEqual(expected);
    const reason = { wrong: 'cuda of onnxruntime-node [0-9.]+ computes ratio.onnx wrongly: logRatio is off by 1.0e-2, allowed [0-9.e-]+.', throws: 'device lost', refuses: 'no kernel for ReduceSum' }[kind];
    expect(model.runtime.warnings).toEqual([expect.stringMatching(new RegExp(`^ratio\\.onnx does not run on cuda \\(${reason}\\): cpu is used instead\\.$`))]);
    expect(made.disposed).toEqual(kind === 'refuses' ? [] : ['cuda']);
    // The graphs without a vector run where they were asked to.
    if (kind === 'wrong') expect((await model.sample({ count: 2, K: 2, kappa: 0 })).statistics).toMatchObject({ provider: 'cuda', warnings: model.runtime.warnings });
  });

  it('goes on to the second and the third preference', async () => {
    const model = await openBundle(await bundle(), runtimeOn(engine({ cuda: 'wrong', webgpu: 'wrong', cpu: 'right' }), ['cuda', 'webgpu', 'cpu']));
    await score(model);
    expect(model.runtime.warnings.map((warning) => /on (\w+) \(.*: (\w+) is used instead\.$/.exec(warning)?.slice(1))).toEqual([['cuda', 'webgpu'], ['webgpu', 'cpu']]);
  });

  it('gives nothing out when the last one is wrong, unless it is told not to test', async () => {
    const made = engine({ cpu: 'wrong' });
    const model = await openBundle(await bundle(), runtimeOn(made, ['cpu']));
    await expect(model.score(x)).rejects.toThrow(/^cpu of onnxruntime-node [0-9.]+ computes ratio\.onnx wrongly: logRatio is off by/);
    expect(made.disposed).toEqual(['cpu']);
    const trusting = await openBundle(await bundle(), runtimeOn(made, ['cpu']), { selfTest: false });
    expect(await score(trusting)).toHaveLength(2);
    expect((await trusting.verify()).passed).toBe(false);
  });

  it('does not blame a provider for a damaged bundle', async () => {
    const made = engine({ cuda: 'right', cpu: 'right' });
    const model = await openBundle(await bundle((files) => files.set('verify/r.npy', encodeNpy(off({ shape: [2], data: new Float32Array(2) })))), runtimeOn(made, ['cuda', 'cpu']));
    await expect(model.score(x)).rejects.toThrow(BundleError);
    expect(model.runtime.warnings).toEqual([]);
    expect(made.disposed).toEqual(['cuda']);
  });
});
