import { createRequire } from 'node:module';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { RuntimeError } from '@ratioflow/sdk';
import { loadTensorFlow } from './load-tensorflow.js';
import type { BackendChoice } from './load-tensorflow.js';
import * as native from './native.js';
import { restoreRemovedUtilities } from './node-compat.js';
import { requirePackage } from './tensorflow.js';
import type { TensorFlow } from './tensorflow.js';

vi.mock(import('./native.js'), async (original) => ({ ...(await original()), isNativeInstalled: vi.fn(), useNative: vi.fn() }));

const actual = await vi.importActual<typeof native>('./native.js');
const installed = actual.isNativeInstalled();

/** Gives the mocked module its real behaviour, or that of a machine where the binding is missing or broken. */
function pretend(state: 'as it is' | 'missing' | 'broken'): void {
  vi.mocked(native.isNativeInstalled).mockReturnValue(state === 'missing' ? false : state === 'broken' || installed);
  vi.mocked(native.useNative).mockImplementation((tf, quiet) =>
    state === 'broken'
      ? Promise.reject(new Error('libtensorflow_cc.so.2: cannot open shared object file\nRequire stack: …'))
      : actual.useNative(tf, quiet),
  );
}

afterEach(() => {
  vi.resetAllMocks();
});

/** Losses of four Adam steps on a small residual network, fixed initial weights: the operators that training needs. */
async function trainBriefly(tf: TensorFlow): Promise<number[]> {
  const { layers } = tf;
  let seed = 1;
  const kernelInitializer = (): ReturnType<typeof tf.initializers.randomUniform> =>
    tf.initializers.randomUniform({ minval: -0.3, maxval: 0.3, seed: seed++ });
  type Node = ReturnType<typeof tf.input>;
  const act = (x: Node): Node => layers.leakyReLU({ alpha: 0.2 }).apply(x) as Node;
  const conv = (x: Node, filters: number, kernelSize: number, strides: number): Node =>
    layers.conv2d({ filters, kernelSize, strides, padding: 'same', useBias: false, kernelInitializer: kernelInitializer() }).apply(x) as Node;
  const input = tf.input({ shape: [9, 9, 2] });
  let x = act(conv(input, 3, 3, 1));
  x = act(layers.add().apply([act(conv(act(conv(x, 4, 3, 2)), 4, 3, 1)), conv(x, 4, 1, 2)]) as Node);
  const pooled = layers.globalAveragePooling2d({ dataFormat: 'channelsLast' }).apply(x) as Node;
  const output = layers.dense({ units: 1, kernelInitializer: kernelInitializer() }).apply(pooled) as Node;
  const model = tf.model({ inputs: input, outputs: output });
  const optimizer = tf.train.adam(0.02);
  const data = tf.randomNormal([6, 9, 9, 2], 0, 1, 'float32', 11);
  const other = tf.randomUniform([6, 9, 9, 2], -1, 1, 'float32', 12);
  const losses: number[] = [];
  for (let step = 0; step < 4; step++) {
    const loss = optimizer.minimize(
      () => tf.tidy(() => {
        const ofData = tf.squeeze(model.apply(data) as Node as never);
        const ofOther = tf.squeeze(model.apply(other) as Node as never);
        return tf.add(tf.mean(tf.softplus(ofData)), tf.mean(tf.softplus(tf.neg(ofOther)))).asScalar();
      }),
      true,
    );
    losses.push((await loss!.data())[0]!);
    loss!.dispose();
  }
  return losses;
}

describe('loadTensorFlow', () => {
  it('trains alike on every backend', async (context) => {
    pretend('as it is');
    const losses = new Map<string, number[]>();
    for (const backend of ['cpu', 'portable', ...(installed ? ['native'] : [])] as BackendChoice[]) {
      losses.set(backend, await trainBriefly((await loadTensorFlow({ backend })).tf));
    }
    const reference = losses.get('cpu')!;
    expect(reference[3]).toBeLessThan(reference[0]!);
    for (const values of losses.values()) values.forEach((value, i) => expect(value).toBeCloseTo(reference[i]!, 5));
    if (!installed) context.skip('native backend: the binding is not installed (node setup.mjs)');
  });

  it('runs the native backend where it is installed, on the one copy of tfjs', async (context) => {
    if (!installed) context.skip('the native binding is not installed (node setup.mjs)');
    pretend('as it is');
    const { tf, backend, description, warnings } = await loadTensorFlow({ backend: 'native' });
    expect(backend).toBe('tensorflow');
    expect(tf.getBackend()).toBe('tensorflow');
    expect(description).toMatch(/^TensorFlow \(.+, (CPU|GPU)\)$/);
    expect(warnings).toEqual([]);
    expect((requirePackage('@tensorflow/tfjs-node-gpu') as TensorFlow).Tensor).toBe(tf.Tensor);
    const product = tf.matMul([[1, 2], [3, 4]], [[5], [6]]);
    expect([...(await product.data())]).toEqual([17, 39]);
  });

  it.each([['missing', 'not installed'], ['broken', 'libtensorflow_cc.so.2']] as const)(
    'falls back with a plain message when the binding is %s',
    async (state, reason) => {
      pretend(state);
      const { tf, backend, warnings } = await loadTensorFlow();
      expect(backend).toBe('wasm');
      expect(tf.getBackend()).toBe('wasm');
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(reason);
      expect(warnings[0]).toContain('node setup.mjs');
      expect(warnings[0]).not.toContain('Require stack');
    },
  );

  it.each(['missing', 'broken'] as const)('refuses when native is asked for by name and is %s', async (state) => {
    pretend(state);
    const attempt = loadTensorFlow({ backend: 'native' });
    await expect(attempt).rejects.toThrow(RuntimeError);
    await expect(attempt).rejects.toThrow('node setup.mjs');
  });

  it('names the choices when the backend is unknown', async () => {
    await expect(loadTensorFlow({ backend: 'webgpu' as BackendChoice })).rejects.toThrow('auto, native, portable, cpu');
  });
});

describe('restoreRemovedUtilities', () => {
  it('defines what Node 23 removed, with its old meaning', () => {
    const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
    const before = util['isNullOrUndefined'];
    delete util['isNullOrUndefined'];
    try {
      restoreRemovedUtilities();
      const isNullOrUndefined = util['isNullOrUndefined'] as (value: unknown) => boolean;
      expect([null, undefined, 0, '', false, NaN].map(isNullOrUndefined)).toEqual([true, true, false, false, false, false]);
    } finally {
      if (before !== undefined) util['isNullOrUndefined'] = before;
    }
  });
});
