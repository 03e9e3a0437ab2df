/** WebGPU in Node: memory that a device does not have, and flows that stay on it. The same in a browser: tests/browser/runtime.test.ts. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GraphBuilder, newModel, writeModel } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { RuntimeError } from '@ratioflow/sdk';
import type { Session } from '@ratioflow/sdk';
import { expect, it } from 'vitest';
import { writeImageBundle, writePointsBundle } from '../support/network-bundles.js';
import { relativeError } from '../support/run-model.js';
import { offerSwiftShader } from '../support/swift-shader.js';

type Value = ReturnType<GraphBuilder['input']>;

it('an allocation that fails on WebGPU is a named error, and sessions go on', { timeout: 120_000 }, async ({ skip }) => {
  offerSwiftShader();
  // A driver is looked for when a process starts.
  const runtime = createRuntime({ providers: ['webgpu'], worker: 'process' });
  const load = async (name: string, body: (builder: GraphBuilder, x: Value) => Value): Promise<Session> => {
    const builder = new GraphBuilder(name);
    builder.output('y', body(builder, builder.input('x', 'float32', ['N', 2])));
    return runtime.load({ name: `${name}.onnx`, model: writeModel(newModel(builder.graph)) });
  };
  const small = await load('small', (builder, x) => builder.op('Mul', [x, x]));
  if (small.provider !== 'webgpu') {
    await small.dispose();
    const reason = `no WebGPU in Node: ${runtime.warnings.join(' ')}`;
    console.log(`skipped: a failed allocation on WebGPU (${reason})`);
    skip(reason);
  }
  // 2 GiB: more than the software device has in one buffer; a large one has it, and then the result must be right.
  const large = await load('large', (builder, x) => builder.op('Mul', [x, builder.op('ReduceMax', [builder.op('Expand', [builder.op('ReduceMax', [x], { keepdims: 0 }), builder.ints([2 ** 29])])], { keepdims: 0 })]));
  const feeds = { x: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) } };
  const squares = Float32Array.of(1, 4, 9, 16);
  expect((await small.run(feeds))['y']!.data).toEqual(squares);
  for (let again = 0; again < 2; again++) {
    const outcome = await large.run(feeds).catch((error: unknown) => error);
    if (!(outcome instanceof Error)) {
      expect((outcome as Awaited<ReturnType<Session['run']>>)['y']!.data).toEqual(Float32Array.of(4, 8, 12, 16));
      continue;
    }
    expect(outcome).toBeInstanceOf(RuntimeError);
    expect(outcome.message).toContain('large.onnx failed on webgpu: ');
    expect((await small.run(feeds))['y']!.data).toEqual(squares);
  }
  await Promise.all([small.dispose(), large.dispose()]);
  const reopened = await load('again', (builder, x) => builder.op('Mul', [x, x]));
  expect((await reopened.run(feeds))['y']!.data).toEqual(squares);
  await reopened.dispose();
});

interface Found {
  readonly samples: number[];
  readonly expected: number[];
  readonly statistics: { readonly plan: string; readonly provider: string; readonly warnings: readonly string[] };
  readonly frames: [number, number[]][];
  readonly expectedFrames: [number, number[]][];
  readonly step: number[];
  readonly expectedStep: number[];
  readonly passed: boolean;
  readonly together: number[][];
  readonly alone: number[][];
  readonly freedBySample: number;
  readonly freedByFlow: number;
  readonly refused: string;
}

it.for([['points', writePointsBundle], ['image', writeImageBundle]] as const)('a flow of %s on WebGPU stays on the device', { timeout: 240_000 }, async ([name, write], { skip }) => {
  offerSwiftShader();
  const folder = await mkdtemp(join(tmpdir(), 'ratioflow-device-'));
  try {
    await write(join(folder, name));
    const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'device-plan.mjs'), join(folder, name)], { maxBuffer: 2 ** 26 });
    const found = JSON.parse(stdout) as Found;
    if (found.statistics.provider !== 'webgpu') {
      const reason = `no WebGPU in Node: ${found.statistics.warnings.join(' ')}`;
      console.log(`skipped: flows on WebGPU in Node (${reason})`);
      skip(reason);
    }
    expect(found.statistics).toMatchObject({ plan: 'device', warnings: [] });
    expect(relativeError(found.samples, found.expected)).toBeLessThan(1e-4);
    expect(found.frames.map(([step]) => step)).toEqual([0, 2, 4]);
    for (const [i, [step, x]] of found.expectedFrames.entries()) {
      expect(found.frames[i]![0]).toBe(step);
      expect(relativeError(found.frames[i]![1], x)).toBeLessThan(1e-4);
    }
    expect(relativeError(found.step, found.expectedStep)).toBeLessThan(1e-4);
    expect(found.passed).toBe(true);
    expect(found.together).toEqual(found.alone);
    // Two outputs a step, whether the flow ends or is left.
    expect([found.freedBySample, found.freedByFlow]).toEqual([22, 6]);
    expect(found.refused).toContain('has been disposed of');
  } finally {
    await rm(folder, { recursive: true });
  }
});

it.for(['thread', 'process'] as const)('a flow on WebGPU stays on the device of a worker %s', { timeout: 240_000 }, async (worker, { skip }) => {
  offerSwiftShader();
  const folder = await mkdtemp(join(tmpdir(), 'ratioflow-device-'));
  try {
    await writeImageBundle(folder);
    // A driver is looked for when a process starts: hence a program of its own, for the thread as well.
    const program = `
      import { open } from '@ratioflow/node';
      const flow = { count: 2, seed: 5, K: 4, kappa: 2 };
      const options = { ...flow, count: 3, batch: 2 };
      const model = await open(${JSON.stringify(folder)}, { providers: ['webgpu', 'cpu'], worker: '${worker}' });
      const plain = await open(${JSON.stringify(folder)}, { providers: ['cpu'] });
      const [{ samples, statistics }, expected] = [await model.sample(options), await plain.sample(options)];
      const [frames, wanted] = [[], []];
      for await (const { step, x } of model.flow({ ...flow, every: 3 })) frames.push([step, [...x.data]]);
      for await (const { step, x } of plain.flow({ ...flow, every: 3 })) wanted.push([step, [...x.data]]);
      for await (const { step } of model.flow({ ...flow, every: 1 })) if (step === 2) break;
      const again = (await model.sample(options)).samples;
      await Promise.all([model.dispose(), plain.dispose()]);
      console.log(JSON.stringify({ statistics, samples: [...samples.data], again: [...again.data], expected: [...expected.samples.data], frames, wanted }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: join(import.meta.dirname, '../../runtimes/node'), maxBuffer: 2 ** 26 });
    const found = JSON.parse(stdout) as Pick<Found, 'samples' | 'expected' | 'statistics' | 'frames'> & { again: number[]; wanted: Found['frames'] };
    if (found.statistics.provider !== 'webgpu') {
      const reason = `no WebGPU in Node: ${found.statistics.warnings.join(' ')}`;
      console.log(`skipped: flows on WebGPU in a worker ${worker} (${reason})`);
      skip(reason);
    }
    expect(found.statistics).toMatchObject({ plan: 'device', warnings: [] });
    expect(relativeError(found.samples, found.expected)).toBeLessThan(1e-4);
    expect(found.again).toEqual(found.samples);
    expect(found.frames.map(([step]) => step)).toEqual(found.wanted.map(([step]) => step));
    for (const [i, [, x]] of found.wanted.entries()) expect(relativeError(found.frames[i]![1], x)).toBeLessThan(1e-4);
  } finally {
    await rm(folder, { recursive: true });
  }
});

it('disposing of a model frees what a resting flow keeps on the device, and leaving the flow afterwards does nothing', { timeout: 120_000 }, async ({ skip }) => {
  offerSwiftShader();
  const folder = await mkdtemp(join(tmpdir(), 'ratioflow-device-'));
  try {
    await writeImageBundle(folder);
    // A process of its own: what goes wrong here ends it.
    const program = `
      import { createRuntime, folderSource, open } from '@ratioflow/node';
      const model = await open(${JSON.stringify(folder)}, { providers: ['webgpu'], selfTest: false });
      const flow = model.flow({ count: 1, K: 4, kappa: 0, every: 1 });
      await flow.next();
      await flow.next();
      await model.dispose();
      await flow.return();
      const runtime = createRuntime({ providers: ['webgpu'] });
      const files = folderSource(${JSON.stringify(folder)});
      const session = await runtime.load({ name: 'step.onnx', model: await files.read('step.onnx'), externalData: (name) => files.read(name) });
      const image = { shape: [1, 1, 8, 8], data: new Float32Array(64) };
      const scalar = { shape: [], data: Float32Array.of(1) };
      const feeds = { x: image, noise: image, eta: scalar, nu: scalar };
      const { provider } = session;
      let read = '';
      if (provider === 'webgpu') {
        const twice = await session.runOnDevice(feeds, 'next');
        twice.dispose();
        twice.dispose();
        const rests = await session.runOnDevice(feeds, 'next');
        const underWay = session.runOnDevice(feeds, 'next');
        await session.dispose();
        rests.dispose();
        (await underWay).dispose();
        read = await rests.read().then(() => 'read', (error) => error.message);
      }
      console.log(JSON.stringify({ provider, read, warnings: runtime.warnings }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: join(import.meta.dirname, '../../runtimes/node') });
    const { provider, read, warnings } = JSON.parse(stdout) as { provider: string; read: string; warnings: string[] };
    if (provider !== 'webgpu') {
      const reason = `no WebGPU in Node: ${warnings.join(' ')}`;
      console.log(`skipped: disposing of a model while a flow rests on WebGPU (${reason})`);
      skip(reason);
    }
    expect(read).toBe('The session of step.onnx has been disposed of.');
  } finally {
    await rm(folder, { recursive: true });
  }
});
