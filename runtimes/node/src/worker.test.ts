/** The engine in a worker thread and in a process: the same results, errors and lifetimes as on the calling thread. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { ArgumentError, RuntimeError } from '@ratioflow/sdk';
import type { GraphSource, Runtime, Session, Tensor } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { createRuntime } from './runtime.js';

const file = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(new URL(`testing/${name}`, import.meta.url)));
const source = async (name: string): Promise<GraphSource> => ({ name, model: await file(name), externalData: file });
const batch = (rows: number): Float32Array => Float32Array.from({ length: 2 * rows }, (_, i) => Math.sin(i));
const run = async (session: Session, rows: number): Promise<Float32Array> => (await session.run({ x: { shape: [rows, 2], data: batch(rows) } })).y!.data as Float32Array;
/** Feeds of loop.onnx for so many steps. */
const loop = (steps: number): Record<string, Tensor> => ({
  x0: { shape: [1, 2], data: new Float32Array(2) }, noise: { shape: [steps, 1, 2], data: new Float32Array(2 * steps) }, eta: { shape: [], data: Float32Array.of(1) },
});

describe.each(['thread', 'process'] as const)('a worker %s', (worker) => {
  const create = (): Runtime => createRuntime({ worker, threads: 1 });

  it('computes what the calling thread computes, many calls at once, and leaves the inputs alone', async () => {
    const session = await create().load(await source('affine.onnx'));
    const here = await createRuntime({ threads: 1 }).load(await source('affine.onnx'));
    expect(session).toMatchObject({ provider: 'cpu', inputNames: ['x'], outputNames: ['y'], capabilities: here.capabilities });
    const sizes = Array.from({ length: 40 }, (_, i) => 1 + 37 * i);
    const together = await Promise.all(sizes.map((rows) => run(session, rows)));
    for (const [i, rows] of sizes.entries()) expect(together[i]).toEqual(await run(here, rows));
    // A view into a larger array, as the sampler passes them.
    const larger = batch(50);
    const { y } = await session.run({ x: { shape: [2, 2], data: larger.subarray(10, 14) } });
    expect(y).toEqual((await here.run({ x: { shape: [2, 2], data: larger.slice(10, 14) } })).y);
    expect(larger).toEqual(batch(50));
    await Promise.all([session.dispose(), here.dispose()]);
  });

  it('passes errors on as what they are, and goes on', async () => {
    const session = await create().load(await source('affine.onnx'));
    await expect(session.run({ x: { shape: [1, 3], data: new Float32Array(3) } })).rejects.toThrow(/^affine\.onnx failed on cpu: Got invalid dimensions for input: x/);
    await expect(session.run({ x: { shape: [2, 2], data: new Float32Array(3) } })).rejects.toThrow(ArgumentError);
    expect(await run(session, 1)).toHaveLength(2);
    await session.dispose();
    await session.dispose();
    await expect(run(session, 1)).rejects.toThrow('The session of affine.onnx has been disposed of.');
    await expect(create().load({ name: 'empty.onnx', model: new Uint8Array(0) })).rejects.toThrow(RuntimeError);
  });

  it('can be used again after it has rested', async () => {
    const runtime = create();
    for (let i = 0; i < 3; i++) {
      const session = await runtime.load(await source('affine.onnx'));
      expect(await run(session, 3)).toHaveLength(6);
      await session.dispose();
      await new Promise((resolve) => setTimeout(resolve, 200 * i));
    }
  });

  it('does not keep a program from ending', async () => {
    const dist = new URL('../dist/index.js', import.meta.url).href;
    const model = Buffer.from(await file('affine.onnx')).toString('base64');
    const weights = Buffer.from(await file('weights.bin')).toString('base64');
    const program = `
      import { createRuntime } from ${JSON.stringify(dist)};
      const session = await createRuntime({ worker: '${worker}' }).load({ name: 'a', model: Buffer.from('${model}', 'base64'), externalData: () => Promise.resolve(Buffer.from('${weights}', 'base64')) });
      console.log((await session.run({ x: { shape: [1, 2], data: Float32Array.of(0, 0) } })).y.data.join());`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    child.stdout.on('data', (part: Buffer) => { printed += part.toString(); });
    const code = await new Promise((resolve) => { child.on('close', resolve); });
    expect([code, printed.trim()]).toEqual([0, '1,-1']);
  });
});

describe('a worker process', () => {
  it('that dies is a named error for every call under way, and the model can be loaded again', async () => {
    const runtime = createRuntime({ worker: 'process', threads: 1 });
    // Processes of other tests live on for a moment.
    const others = new Set((await processesBelow(process.pid)).map(({ pid }) => pid));
    const session = await runtime.load(await source('affine.onnx'));
    const children = (await processesBelow(process.pid)).filter(({ pid, command }) => !others.has(pid) && /workers|remote-main/.test(command));
    expect(children).toHaveLength(1);
    const calls = [run(session, 1_000_000), run(session, 1_000_000)];
    process.kill(children[0]!.pid, 'SIGSEGV');
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'RuntimeError', message: 'The worker process ended with SIGSEGV; open the model again.' } });
    }
    await expect(run(session, 1)).rejects.toThrow(RuntimeError);
    await session.dispose();
    const again = await runtime.load(await source('affine.onnx'));
    expect(await run(again, 1)).toHaveLength(2);
    await again.dispose();
  });

  it('that takes too long is ended', async () => {
    const runtime = createRuntime({ worker: 'process', threads: 1, timeout: 1500 });
    const graph = await source('loop.onnx');
    const session = await runtime.load(graph);
    // A million steps of a loop take longer than that.
    const slow = session.run(loop(4_000_000));
    await expect(slow).rejects.toThrow('The worker process took more than 1500 ms for one call and was ended; open the model again.');
    await session.dispose();
    const again = await runtime.load(graph);
    await again.dispose();
  });

  it('is given its time for every call, however many wait', async () => {
    const timeout = 1500;
    const session = await createRuntime({ worker: 'process', threads: 1, timeout }).load(await source('loop.onnx'));
    const call = (): Promise<unknown> => session.run(loop(200_000));
    const start = performance.now();
    await call();
    const enough = Math.ceil(2 * timeout / (performance.now() - start));
    const begin = performance.now();
    await Promise.all(Array.from({ length: enough }, call));
    expect(performance.now() - begin).toBeGreaterThan(timeout);
    await session.dispose();
  });

  it('ends with its program, in the middle of a call, and prints nothing', async () => {
    const dist = new URL('../dist/index.js', import.meta.url).href;
    const model = Buffer.from(await file('loop.onnx')).toString('base64');
    const weights = Buffer.from(await file('weights.bin')).toString('base64');
    const program = `
      import { createRuntime } from ${JSON.stringify(dist)};
      const session = await createRuntime({ worker: 'process', threads: 1 }).load({ name: 'a', model: Buffer.from('${model}', 'base64'), externalData: () => Promise.resolve(Buffer.from('${weights}', 'base64')) });
      const steps = 8_000_000;
      session.run({ x0: { shape: [1, 2], data: new Float32Array(2) }, noise: { shape: [steps, 1, 2], data: new Float32Array(2 * steps) }, eta: { shape: [], data: Float32Array.of(1) } });
      setTimeout(() => console.log('computes'), 700);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (part: Buffer) => { errors += part.toString(); });
    const closed = new Promise((resolve) => { child.on('close', resolve); });
    await new Promise((resolve) => { child.stdout.once('data', resolve); });
    const left = performance.now();
    child.kill('SIGKILL');
    // The worker has the same pipes, which close with the last of the two.
    await closed;
    expect(performance.now() - left).toBeLessThan(1000);
    expect(errors).toBe('');
  });

  it('is the only one that can be given a time limit', () => {
    expect(() => createRuntime({ worker: true, timeout: 5 })).toThrow('timeout is given without worker: "process"');
    expect(() => createRuntime({ worker: 'process', timeout: 0 })).toThrow('timeout is 0');
    expect(() => createRuntime({ worker: 'fibre' as 'thread' })).toThrow('worker is "fibre"; allowed: true, false, "thread", "process".');
  });
});

/** Children of a process, from /proc; elsewhere from ps. */
async function processesBelow(parent: number): Promise<{ pid: number; command: string }[]> {
  const child = spawn('ps', ['-eo', 'pid=,ppid=,args='], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (part: Buffer) => { text += part.toString(); });
  await new Promise((resolve) => { child.on('close', resolve); });
  return text.split('\n').map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)).filter((match) => match !== null && Number(match[2]) === parent)
    .map((match) => ({ pid: Number(match![1]), command: match![3]! }));
}
