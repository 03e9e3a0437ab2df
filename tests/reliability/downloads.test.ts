/** Bundles over a slow network and beside a full disk: what is aborted ends at once, what cannot be kept does no harm. */
import { GraphBuilder, createBundle, newModel } from '@ratioflow/export';
import { createRuntime, open } from '@ratioflow/node';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { sha256 } from '@ratioflow/sdk';
import type { SampleResult } from '@ratioflow/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

let folder: string;
let server: Server;
let base: string;
let files: Map<string, Uint8Array>;
/** The file that arrives by half and no further, what happens then, and how its connections end. */
let stuck: { readonly file: string; readonly onHalf: () => void; closed: number } | undefined;
let requests: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-downloads-'));
  const builder = new GraphBuilder('network');
  const ones = (dims: number[]): ReturnType<GraphBuilder['input']> => builder.initializer(`w${dims[0]}`, { dtype: 'float32', dims, data: new Uint8Array(new Float32Array(dims[0]! * dims[1]!).fill(0.01).buffer) });
  const h = builder.op('LeakyRelu', [builder.op('MatMul', [builder.input('x', 'float32', ['N', 2]), ones([2, 4096])])], { alpha: 0.2 });
  builder.output('n', builder.op('MatMul', [h, ones([4096, 1])]));
  files = await createBundle({ name: 'network', estimator: newModel(builder.graph), pairing: 'lr-kl', prior: { kind: 'gaussian' }, eta: 0.1, nu: 0.1, K: 4, kappa: 2, reference: createRuntime({ threads: 1 }) });
  server = createServer((request, response) => {
    const name = request.url!.slice('/a/'.length);
    requests.push(name);
    const bytes = files.get(name);
    if (bytes === undefined) response.writeHead(404).end();
    else if (name === stuck?.file) {
      const here = stuck;
      response.on('close', () => here.closed++);
      response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, bytes.length / 2), here.onHalf);
    } else response.end(bytes);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a`;
});
afterEach(() => { stuck = undefined; requests = []; });
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

const reason = new Error('enough');

/** Names in the cache that are no hash of their content. */
async function halfWritten(cache: string): Promise<string[]> {
  const names = await readdir(cache).catch(() => []);
  const hashes = await Promise.all(names.map(async (name) => sha256(await readFile(join(cache, name)))));
  return names.filter((name, i) => name !== hashes[i]);
}

describe.each([false, true, 'process'] as const)('an abort with worker %j', (worker) => {
  it.each(['prior.onnx', 'sampler.onnx', 'weights.bin', 'verify/sampler.x.npy'])('ends the download of %s, and nothing else', async (file) => {
    const cache = join(folder, `${worker}-${basename(file)}`);
    const controller = new AbortController();
    const model = await open(base, { cache, worker, threads: 1 });
    stuck = { file, onHalf: () => controller.abort(reason), closed: 0 };
    await expect(model.sample({ signal: controller.signal })).rejects.toBe(reason);
    await expect.poll(() => stuck!.closed).toBe(1);
    expect(await halfWritten(cache)).toEqual([]);
    stuck = undefined;
    expect((await model.sample({ count: 2 })).samples.shape).toEqual([2, 2]);
    await model.dispose();
  });

  it('leaves those alone who wait for the same graph, or for its weights', async () => {
    const controller = new AbortController();
    const model = await open(base, { cache: false, worker, threads: 1 });
    const others = await new Promise<readonly Promise<unknown>[]>((resolve, reject) => {
      stuck = { file: 'weights.bin', closed: 0, onHalf: () => {
        stuck = undefined;
        const joined = [model.sample({ seed: 1 }), model.sample({ seed: 1, signal: new AbortController().signal }), model.score({ shape: [1, 2], data: new Float32Array(2) })];
        // Once they wait, too.
        setTimeout(() => controller.abort(reason), 50);
        resolve(joined);
      } };
      model.sample({ signal: controller.signal }).then(() => reject(new Error('was not aborted')), (error: unknown) => { expect(error).toBe(reason); });
    });
    const [a, b, score] = await Promise.all(others);
    expect((a as SampleResult).samples).toEqual((b as SampleResult).samples);
    expect(score).toHaveLength(1);
    await model.dispose();
  }, 15_000);
});

it('a signal that is aborted later ends nothing that is read for others', async () => {
  const controller = new AbortController();
  const model = await open(base, { cache: false, threads: 2 });
  await model.sample({ signal: controller.signal });
  controller.abort(reason);
  requests = [];
  // Large enough for the parts, which read the weights once more.
  const { samples, statistics } = await model.sample({ count: 4096 });
  expect([samples.shape, statistics.warnings, requests]).toEqual([[4096, 2], [], ['weights.bin']]);
  await model.dispose();
});

it.skipIf(process.platform === 'win32').each([false, true, 'process'] as const)('a cache that fills up holds what fits, and the model opens all the same (worker: %j)', async (worker) => {
  const cache = join(folder, `full-${worker}`);
  const program = `
    import { open } from ${JSON.stringify(new URL('../../runtimes/node/dist/index.js', import.meta.url).href)};
    const model = await open(${JSON.stringify(base)}, { cache: ${JSON.stringify(cache)}, worker: ${JSON.stringify(worker)}, threads: 1 });
    const { samples, statistics } = await model.sample({ count: 3 });
    console.log(JSON.stringify([samples.shape, statistics.warnings]));
    await model.dispose();`;
  // No file may grow beyond 16 blocks, as on a disk that is full from there on.
  const { stdout } = await promisify(execFile)('bash', ['-c', 'ulimit -f 16; exec "$0" --input-type=module -e "$1"', process.execPath, program]);
  expect(JSON.parse(stdout)).toEqual([[3, 2], []]);
  expect(requests).toContain('weights.bin');
  const kept = await readdir(cache);
  expect(kept).toContain(await sha256(files.get('prior.onnx')!));
  expect(kept).not.toContain(await sha256(files.get('weights.bin')!));
  expect(await halfWritten(cache)).toEqual([]);
});
