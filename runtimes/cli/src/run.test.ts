import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, probeProvider, readNpy, writeNpy } from '@ratioflow/node';
import { normals, purposes, sha256 } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import type { Manifest } from '@ratioflow/sdk';
import { rolldown } from 'rolldown';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from './commands/registry.js';
import { meanAt, spread, writeGaussianBundle } from './testing/gaussian-bundle.js';
import { ratioflow } from './testing/run-command.js';

let folder: string;
let images: string;
let points: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-cli-'));
  [images, points] = [join(folder, 'images'), join(folder, 'points')];
  await writeGaussianBundle(images, [1, 16, 16]);
  await writeGaussianBundle(points, [2], { valueRange: null });
});
afterAll(() => rm(folder, { recursive: true }));

const inFolder = (name: string): string => join(folder, name);

describe('ratioflow sample', () => {
  it('writes what the SDK draws, and the SDK draws the formula', async () => {
    const out = inFolder('samples.npy');
    const { code, err, out: text } = await ratioflow(['sample', points, '--count', '5', '--seed', '7', '--first', '2', '-o', out]);
    expect([code, err]).toEqual([0, '']);
    expect(text).toContain(`5 samples (seed 7, 2 to 6) in ${out}\n40 steps, `);
    expect(text).toMatch(/on cpu of onnxruntime-node \d+\.\d+\.\d+\n$/);
    const { shape, data } = await readNpy(out);
    expect(shape).toEqual([5, 2]);
    // x_{k+1} = x_k + η (x_k − (x_k − m) / s²) + ν ξ_k, in double.
    const draw = (purpose: number, step: number): Float32Array => normals({ seed: 7, purpose, step, firstSample: 2, count: 5, elements: 2 });
    let x = Array.from(draw(purposes.prior, 0));
    for (let k = 0; k < 40; k++) {
      const xi = draw(purposes.flow, k);
      x = x.map((value, i) => value + 0.1 * (value - (value - meanAt(i % 2, 2)) / spread ** 2) + 0.02 * xi[i]!);
    }
    x.forEach((value, i) => expect(data[i]).toBeCloseTo(value, 4));
  });

  it('makes the same samples in any batch and in shards', async () => {
    const whole = inFolder('whole.npy');
    await ratioflow(['sample', images, '--count', '9', '-o', whole]);
    const { data } = await readNpy(whole);
    const part = inFolder('part.npy');
    await ratioflow(['sample', images, '--count', '4', '--first', '5', '--batch', '3', '--threads', '1', '-o', part]);
    expect((await readNpy(part)).data).toEqual((data as Float32Array).slice(5 * 256));
  });

  it('draws a grid', async () => {
    const out = inFolder('made/grid.png');
    expect((await ratioflow(['sample', images, '--count', '6', '--columns', '3', '--zoom', '2', '-o', out])).code).toBe(0);
    expect(await sharp(out).metadata()).toMatchObject({ width: 3 * 32 + 4, height: 2 * 32 + 2 });
    const { data, info } = await sharp(out).raw().toBuffer({ resolveWithObject: true });
    // The mean rises from dark to bright.
    expect(data[0]).toBeLessThan(60);
    expect(data[(31 * info.width + 31) * info.channels]).toBeGreaterThan(190);
  });

  it('fills a folder, named by index', async () => {
    const out = inFolder('many/');
    const { code, out: text } = await ratioflow(['sample', images, '--count', '3', '--first', '8', '-o', out]);
    expect(code).toBe(0);
    expect(text).toContain(`${out} (3 files)`);
    expect(await readdir(out)).toEqual(['000008.png', '000009.png', '000010.png']);
    expect(await sharp(join(out, '000010.png')).metadata()).toMatchObject({ width: 16, height: 16 });
  });

  it('refuses a folder where a file is, before the work', async () => {
    const file = inFolder('taken');
    await writeFile(file, 'kept');
    for (const out of [file, `${file}/`]) expect(await ratioflow(['sample', images, '--steps', '1000000', '-o', out])).toEqual({ code: 1, out: '', err: `error: The output ${out} would be a folder, and a file has that name: name another, or a file that ends in .png or .npy.\n` });
    expect(await readFile(file, 'utf8')).toBe('kept');
  });

  it('makes film strips', async () => {
    const out = inFolder('film.png');
    expect((await ratioflow(['sample', images, '--count', '2', '--film', '--frames', '5', '--zoom', '1', '-o', out])).code).toBe(0);
    expect(await sharp(out).metadata()).toMatchObject({ width: 5 * 16 + 4 * 2, height: 2 * 16 + 2 });
    const array = inFolder('film.npy');
    await ratioflow(['sample', points, '--count', '3', '--film', '--frames', '4', '-o', array]);
    const { shape, data } = await readNpy(array);
    expect(shape).toEqual([3, 4, 2]);
    const model = await open(points);
    const prior = (await model.prior({ count: 3 })).data;
    const { data: samples } = (await model.sample({ count: 3 })).samples;
    await model.dispose();
    for (let n = 0; n < 3; n++) {
      expect(Array.from((data as Float32Array).slice(8 * n, 8 * n + 2))).toEqual(Array.from(prior.slice(2 * n, 2 * n + 2)));
      expect(Array.from((data as Float32Array).slice(8 * n + 6, 8 * n + 8))).toEqual(Array.from(samples.slice(2 * n, 2 * n + 2)));
    }
  });

  it('takes start, noise and schedule from the caller', async () => {
    const [x0, noise, out] = [inFolder('x0.npy'), inFolder('noise.npy'), inFolder('own.npy')];
    await writeNpy(x0, { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) });
    await writeNpy(noise, { shape: [1, 2, 2], data: Float32Array.of(1, -1, 0, 0.5) });
    const { code, out: text } = await ratioflow(['sample', points, '--x0', x0, '--noise', noise, '--steps', '0', '--refine', '1', '--eta', '0', '--nu', '0.25', '-o', out]);
    expect([code, text.split('\n')[0]]).toEqual([0, `2 samples (seed 0, 0 to 1) in ${out}`]);
    expect(Array.from((await readNpy(out)).data as Float32Array)).toEqual([1.25, 1.75, 3, 4.125]);
  });

  it('writes over no array that it reads, and takes no option of a film without one', async () => {
    const x0 = inFolder('kept.npy');
    await writeNpy(x0, { shape: [1, 2], data: Float32Array.of(1, 2) });
    for (const [args, message] of [[['--x0', x0, '-o', x0], /Samples cannot be written to .*kept\.npy: it is an input, which would be lost/], [['--frames', '3', '-o', inFolder('no.npy')], /--frames are those of a film: give --film, too/]] as const) {
      expect(await ratioflow(['sample', points, ...args])).toEqual({ code: 1, out: '', err: expect.stringMatching(message) as string });
    }
    expect((await readNpy(x0)).data).toEqual(Float32Array.of(1, 2));
  });

  it('warns of samples that are not finite, and writes nothing where none is', async () => {
    const [x0, out] = [inFolder('gaps.npy'), inFolder('diverged.npy')];
    await writeNpy(x0, { shape: [3, 2], data: Float32Array.of(1, 2, 3, NaN, NaN, 4) });
    const { code, err } = await ratioflow(['sample', points, '--x0', x0, '--first', '7', '--steps', '1', '-o', inFolder('gaps-out.npy')]);
    expect([code, err]).toEqual([0, 'warning: 2 of 3 samples hold NaN or infinite values: the flow has diverged (the first: sample 8); pictures show them as if they were black.\n']);
    for (const more of [[], ['--film'], ['--keep', '0.5']]) {
      const diverged = await ratioflow(['sample', points, ...more, '--count', '2', '--eta', '1e38', '-o', out]);
      expect([diverged.code, diverged.err]).toEqual([1, expect.stringMatching(/^error: All of 2 samples hold NaN or infinite values: the flow has diverged\. Take a smaller step size/)]);
    }
    expect(await readdir(folder)).not.toContain('diverged.npy');
  });

  it('shows progress on a terminal only', async () => {
    const { err } = await ratioflow(['sample', points, '--count', '2', '-o', inFolder('p.npy')], undefined, true);
    expect(err).toMatch(/\d+% \| \d+\/80 steps/);
  });

  it('says when a provider is not there', async ({ skip }) => {
    if (await probeProvider('cuda') === undefined) skip('CUDA runs here');
    const { code, err, out } = await ratioflow(['sample', points, '--provider', 'cuda,cpu', '-o', inFolder('q.npy')]);
    expect(code).toBe(0);
    expect(err).toMatch(/^warning: cuda does not run here: .* Running on cpu instead\.\n$/);
    expect(out).toContain('on cpu of');
  });

  it('stops at Ctrl-C, with exit code 130 and no file', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('interrupted')), 300);
    const out = inFolder('never.npy');
    expect(await ratioflow(['sample', points, '--steps', '1000000', '-o', out], controller.signal)).toEqual({ code: 130, out: '', err: 'interrupted\n' });
    expect((await readdir(folder)).filter((name) => name.includes('never'))).toEqual([]);
  });

  it.each([
    [['--out', 'x.jpg'], 'The output x.jpg ends in .jpg; allowed: .png, .npy, or a folder, with / at its end.'],
    [['--out', 'x/'], 'Samples of shape [2] are no images; the output x/ must end in .npy or .png.'],
    [['--out', 'x.png', '--film'], 'Frames of samples [2] are one file; the output x.png must end in .npy.'],
    [['--out', 'x.npy', '--x0', 'absent.npy'], 'absent.npy cannot be read: there is no such file.'],
    [['--out', 'x.npy', '--count', '9999999999'], 'count is 9999999999; allowed: an integer from 1 to 4294967296.'],
  ])('refuses %j in one line', async (args, message) => {
    expect(await ratioflow(['sample', points, ...args])).toEqual({ code: 1, out: '', err: `error: ${message}\n` });
  });

  it('shows where an error comes from on request', async () => {
    const { code, err } = await ratioflow(['--debug', 'sample', inFolder('absent'), '-o', 'x.npy']);
    expect(code).toBe(1);
    expect(err).toMatch(/^error: There is no bundle at .*absent\.\nBundleError: There is no bundle .*\n {4}at .*[^]*caused by Error: ENOENT/);
  });
});

describe('ratioflow verify', () => {
  it('passes on a sound bundle', async () => {
    const { code, out } = await ratioflow(['verify', images]);
    expect(code).toBe(0);
    expect(out).toMatch(/^cpu: passed \(onnxruntime-node/);
    for (const name of ['ratio.logRatio', 'gradient.drift', 'step.next', 'sampler.x', 'prior.x0']) expect(out).toMatch(new RegExp(`ok +${name} +largest error .*, allowed `));
  });

  it('fails with exit code 1 where a graph computes something else', async () => {
    const wrong = inFolder('wrong');
    await writeGaussianBundle(wrong, [2]);
    const manifest = JSON.parse(await readFile(join(wrong, 'manifest.json'), 'utf8')) as { files: Record<string, { size: number; sha256: string }>; verification: Manifest['verification'] };
    const file = manifest.verification.find(({ graph }) => graph === 'ratio')!.outputs.logRatio!;
    const { shape, data } = await readNpy(join(wrong, file));
    data[0] = data[0] as number + 1;
    const bytes = encodeNpy({ shape, data });
    await writeFile(join(wrong, file), bytes);
    const damaged = await ratioflow(['verify', wrong]);
    expect(damaged.code).toBe(1);
    expect(damaged.err).toMatch(/^error: .*has SHA-256 [0-9a-f]{64}, [0-9a-f]{64} by the manifest: the bundle is damaged/);
    manifest.files[file] = { size: bytes.length, sha256: await sha256(bytes) };
    await writeFile(join(wrong, 'manifest.json'), JSON.stringify(manifest));
    const { code, out } = await ratioflow(['verify', wrong, '--provider', 'cpu']);
    expect(code).toBe(1);
    expect(out).toMatch(/^cpu: FAILED/);
    expect(out).toMatch(/FAILED {2}ratio\.logRatio +largest error 1\.0e\+0/);
    expect(out).toMatch(/ok +gradient\.drift/);
  });

  it('fails for a provider that was asked for and does not run', async ({ skip }) => {
    if (await probeProvider('cuda') === undefined) skip('CUDA runs here');
    const { code, out } = await ratioflow(['verify', points, '--provider', 'cuda']);
    expect([code, out]).toEqual([1, expect.stringMatching(/^cuda: does not run here/)]);
  });
});

describe('ratioflow inspect and doctor', () => {
  it('show what a bundle holds', async () => {
    const { code, out } = await ratioflow(['inspect', images]);
    expect(code).toBe(0);
    for (const part of ['gaussian', 'images [C, H, W] = [1, 16, 16], clamped to [-1, 1]', 'lr-kl', '30 bridging and 10 refinement steps, eta 0.1, nu 0.02', 'sampler.onnx', 'weights.bin', '1.0 kB']) expect(out).toContain(part);
    const json = JSON.parse((await ratioflow(['inspect', images, '--json'])).out) as Manifest;
    expect(json).toMatchObject({ name: 'gaussian', K: 30 });
    expect(await ratioflow(['inspect', folder])).toEqual({ code: 1, out: '', err: `error: ${folder} is no bundle: it has no manifest.json.\n` });
  });

  it('tell what this machine can run', async () => {
    const { code, out } = await ratioflow(['doctor']);
    expect(code).toBe(0);
    expect(out).toContain(`ok  Node: ${process.versions.node}`);
    expect(out).toMatch(/ok {2}cpu: runs/);
    expect(out).toMatch(/TensorFlow\.js: 4\./);
    expect(out).toMatch(/Python: |C\+\+ compiler: /);
    // Whatever is missing comes with what to do; CUDA with the list of what it needs.
    for (const [, next] of out.matchAll(/\n {2}-- {2}(?!cuda:).*\n(.*)/g)) expect(next).toMatch(/^ {6}to get it: ./);
    if (out.includes('--  cuda:')) expect(out).toMatch(/--  cuda: does not run.*\n {2}(--|ok) {2}cuda needs /);
  });
});

describe('ratioflow', () => {
  it.each([
    [['sample', 'b'], "error: required option '-o, --out <path>' not specified"],
    [['sample', 'b', '-o', 'x', '--count', '0'], "error: option '--count <n>' argument '0' is invalid. Allowed: an integer from 1."],
    [['sample', 'b', '-o', 'x', '--seed', '-1'], 'Allowed: an integer from 0 to 2^64 - 1.'],
    [['sample', 'b', '-o', 'x', '--seed', '18446744073709551616'], 'Allowed: an integer from 0 to 2^64 - 1.'],
    [['sample', 'b', '-o', 'x', '--eta', 'much'], 'Allowed: a number of at least 0 that float32 can hold'],
    [['sample', 'b', '-o', 'x', '--provider', 'tpu'], 'Allowed: cuda, webgpu, cpu, or several, separated by commas.'],
    [['sample', 'b', '-o', 'x', '--stps', '3'], "error: unknown option '--stps'\n(Did you mean --steps?)"],
    [['smaple'], "error: unknown command 'smaple'\n(Did you mean sample?)"],
    [['inspect'], "error: missing required argument 'bundle'"],
  ])('calls %j a usage error', async (args, message) => {
    const { code, out, err } = await ratioflow(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
    expect(err).toContain('--help explains every option)');
  });

  it('explains every command and option', async () => {
    const help = await ratioflow(['--help']);
    expect(help.code).toBe(0);
    for (const make of commands) {
      const command = make({} as never);
      expect(help.out).toContain(command.name());
      const { code, out } = await ratioflow([command.name(), '--help']);
      expect(code).toBe(0);
      for (const { flags, description } of command.options) {
        expect(out).toContain(flags);
        expect(description.length).toBeGreaterThan(15);
      }
      // Defaults are told in words, and once: an empty list says nothing.
      expect(out.replace(/\s+/g, ' ')).not.toMatch(/\(default: \[|\(default: [^)]*\) \(default/);
    }
    expect((await ratioflow(['--version'])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('shows the help, as a usage error, when called with nothing', async () => {
    const { code, err } = await ratioflow([]);
    expect(code).toBe(2);
    expect(err).toContain('Usage: ratioflow');
  });
});

describe.skipIf(process.platform === 'win32')('the process', () => {
  const packages = ['sdk', 'export', 'trainer', 'node'] as const;
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const place = fileURLToPath(new URL(`../.process-test-${process.pid}/`, import.meta.url));
  beforeAll(async () => {
    // From the sources, so that a stale build cannot pass.
    const build = await rolldown({
      input: fileURLToPath(new URL('main.ts', import.meta.url)), platform: 'node', logLevel: 'silent',
      external: (id) => !id.startsWith('.') && !id.startsWith('/') && !id.startsWith('@ratioflow/'),
      resolve: { alias: Object.fromEntries(packages.map((name) => [`@ratioflow/${name}`, join(root, name === 'node' ? 'runtimes/node' : name, 'src/index.ts')])), extensionAlias: { '.js': ['.ts', '.js'] } },
    });
    await build.write({ dir: place, format: 'esm', entryFileNames: 'main.js' });
    await build.close();
  });
  afterAll(() => rm(place, { recursive: true, force: true }));

  const start = (...args: string[]): ReturnType<typeof spawn> => spawn(process.execPath, [join(place, 'main.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

  it.each([['SIGINT', 130], ['SIGTERM', 143]] as const)('ends on %s with exit code %i and leaves nothing behind', async (signal, code) => {
    const child = start('sample', points, '--steps', '1000000', '--refine', '0', '--batch', '4096', '--count', '4096', '-o', inFolder('interrupted.npy'));
    setTimeout(() => child.kill(signal), 2500);
    expect(await once(child, 'exit')).toEqual([code, null]);
    expect((await readdir(folder)).filter((name) => name.includes('interrupted'))).toEqual([]);
  });

  it('goes on without a terminal, as under nohup, when that is closed', async () => {
    const out = inFolder('nohup.npy');
    const child = start('sample', points, '--steps', '15000', '--refine', '0', '--batch', '4096', '--count', '4096', '-o', out);
    setTimeout(() => child.kill('SIGHUP'), 1500);
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect((await readNpy(out)).shape).toEqual([4096, 2]);
  });

  it('does not complain when its reader leaves', async () => {
    const child = start('inspect', images, '--json');
    child.stdout!.destroy();
    let text = '';
    child.stderr!.on('data', (chunk: Buffer) => { text += chunk.toString(); });
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(text).toBe('');
  });
});

describe('ratioflow import', () => {
  const settings = ['--pairing', 'lr-kl', '--eta', '0.1', '--nu', '0.02', '--steps', '30', '--refine', '10'];
  it('makes the bundle that the exporter makes of the same estimator', async () => {
    // ratio.onnx of a bundle is an estimator with one input and one output, of pairing lr-kl.
    const [bundle, estimator] = [inFolder('imported'), join(images, 'ratio.onnx')];
    const { code, out, err } = await ratioflow(['import', estimator, '-o', bundle, '--prior', 'gaussian', '--name', 'again', ...settings]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toBe(`bundle of samples [1, 16, 16] in ${bundle}\n`);
    const draw = async (folder: string): Promise<ArrayLike<number | bigint>> => {
      await ratioflow(['sample', folder, '--count', '3', '--seed', '5', '-o', inFolder('drawn.npy')]);
      return (await readNpy(inFolder('drawn.npy'))).data;
    };
    const expected = await draw(images);
    expect(Math.max(...Array.from(await draw(bundle), (value, i) => Math.abs(Number(value) - Number(expected[i]))))).toBeLessThan(1e-5);
    expect((await ratioflow(['verify', bundle, '--provider', 'cpu'])).code).toBe(0);
  });

  it('bakes the statistics of data, and source samples', async () => {
    const data = inFolder('data.npy');
    await writeNpy(data, { shape: [4, 2], data: Float32Array.of(3, 1, 5, 1, 3, -1, 5, -1) });
    const bundle = inFolder('ddp');
    expect((await ratioflow(['import', join(points, 'ratio.onnx'), '-o', bundle, '--prior', 'ddp', '--data', data, ...settings])).err).toBe('');
    const model = await open(bundle);
    expect([model.manifest.prior, model.manifest.valueRange]).toEqual([{ kind: 'ddp', z: 'normal' }, null]);
    await model.dispose();
    const source = inFolder('source');
    await ratioflow(['import', join(points, 'ratio.onnx'), '-o', source, '--prior', 'source', '--value-range', '-3,3', ...settings]);
    const unlimited = inFolder('open');
    await ratioflow(['import', join(images, 'ratio.onnx'), '-o', unlimited, '--prior', 'uniform', '--value-range', 'none', ...settings]);
    const unclamped = await open(unlimited);
    expect(unclamped.manifest.valueRange).toBeNull();
    await unclamped.dispose();
    const refused = await ratioflow(['sample', source, '-o', inFolder('none.npy')]);
    expect([refused.code, refused.err]).toEqual([1, 'error: ratio starts from samples of another domain: give them as x0, [count, 2].\n']);
    expect((await ratioflow(['sample', source, '--x0', data, '-o', inFolder('moved.npy')])).code).toBe(0);
  });

  it.each([
    [['--prior', 'ddp'], 1, /The prior ddp needs --data/],
    [['--prior', 'uniform', '--data', 'x'], 1, /--data belongs to the prior ddp, not to uniform/],
    [['--prior', 'uniform', '--deviation', '2'], 1, /--deviation belongs to the prior gaussian/],
    [['--prior', 'magic'], 2, /Allowed choices are uniform, gaussian, ddp, source/],
    [['--prior', 'uniform', '--sample-shape', '3,0'], 2, /Allowed: C,H,W for images/],
    [['--prior', 'uniform', '--value-range', '1,-1'], 2, /Allowed: LOW,HIGH with LOW < HIGH/],
    [['--prior', 'uniform', '--sample-shape', '3,4,4'], 1, /does not take samples of shape \[3, 4, 4\]/],
  ])('refuses %j', async (args, expected, message) => {
    const { code, err } = await ratioflow(['import', join(images, 'ratio.onnx'), '-o', inFolder('refused'), ...settings, ...args]);
    expect(code).toBe(expected);
    expect(err).toMatch(message);
    await expect(readdir(inFolder('refused'))).rejects.toThrow();
  });
});
