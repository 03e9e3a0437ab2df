/**
 * Sampling: what the SDK adds to bare sessions of the same graphs, once with the same noise made anew by both and once with all noise made
 * beforehand for the bare sessions alone; and the SDK against eager PyTorch, side by side in one run on the CPU. The estimators are untrained: their speed is the same.
 * `npx tsc -b && node tests/bench/sampling.mjs --python <python with torch> [--rounds 10] [--dry]`; writes docs/benchmarks.md. `--only digits` or
 * another network measures that alone, and writes nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleSource, createRuntime } from '../../runtimes/node/dist/index.js';
import { fillFlowNormals, fillNormals, normals, openBundle, purposes } from '../../sdk/dist/index.js';
import { loadConfig } from '../../trainer/dist/config/load.js';
import { assemble } from '../../trainer/dist/run/assemble.js';
import { bundleOf } from '../../trainer/dist/run/run-bundle.js';
import { writeUntrainedBundle } from './untrained-bundle.mjs';
import { alternate, charged, interleave, machine, milliseconds, options, percent, ratio, startPytorch, table, timed, writeSection } from './side-by-side.mjs';

const { python, rounds, dry, only } = options(10);
const pytorch = await startPytorch(python);
if (!pytorch) console.log(`${python} has no torch: sampling is not compared with PyTorch.`);

/** Bare sessions of the same two graphs, made by the same runtime: x₀ from z, and one run of the sampler; `making` makes the noise for it. */
async function bareSampler({ read }, runtime, { eta, nu, K, kappa, sampleShape, files }, batch) {
  const load = async (name) => runtime.load({ name, model: await read(name), externalData: read });
  const [prior, sampler] = [await load('prior.onnx'), await load(files['sampler-cpu.onnx'] ? 'sampler-cpu.onnx' : 'sampler.onnx')];
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const noise = new Float32Array((K + kappa) * batch * elements);
  fillFlowNormals(noise, { seed: 1, step: 0, steps: K + kappa }, { count: batch, elements });
  const z = { data: normals({ seed: 1, purpose: purposes.prior, step: 0, count: batch, elements }), shape: [batch, elements] };
  const scalar = (value) => ({ data: Float32Array.of(value), shape: [] });
  const rest = { noise: { data: noise, shape: [K + kappa, batch, ...sampleShape] }, eta: scalar(eta), nu: scalar(nu) };
  const run = async () => sampler.run({ x0: (await prior.run({ z })).x0, ...rest });
  const making = () => {
    fillNormals(z.data, { seed: 1, purpose: purposes.prior, step: 0 }, { count: batch, elements });
    fillFlowNormals(noise, { seed: 1, step: 0, steps: K + kappa }, { count: batch, elements });
    return run();
  };
  return {
    run, making,
    release: () => Promise.all([prior.dispose(), sampler.dispose()]),
  };
}

/** The bundle of a shipped configuration before any training. */
async function configured(name, changes) {
  const config = await loadConfig(join(import.meta.dirname, `../../trainer/configs/${name}.yaml`), changes);
  const runtime = createRuntime();
  const assembly = await assemble(config, runtime);
  const files = await bundleOf(assembly, 0, runtime);
  await assembly.dispose();
  return { location: name, read: (path) => Promise.resolve(files.get(path)) };
}

/** CIFAR-10's network, whose steps take so long that few of them are timed. */
async function resnet32(spectralNorm) {
  const folder = await mkdtemp(join(tmpdir(), 'ratioflow-bench-'));
  await writeUntrainedBundle(folder, 'resnet32', [3, 32, 32], { K: 4, kappa: 0, spectralNorm });
  return Object.assign(await bundleSource(folder), { remove: () => rm(folder, { recursive: true }) });
}

const overhead = [];
const comparison = [];
for (const { name, bundle, batches, spectral = false } of [
  { name: 'toy', bundle: () => configured('swiss-roll'), batches: { overhead: [64, 1024], pytorch: [64, 1024] } },
  { name: 'digits', bundle: () => configured('digits'), batches: { overhead: [8, 64], pytorch: [1, 64] } },
  { name: 'resnet32', bundle: () => resnet32(false), batches: { overhead: [], pytorch: [1, 32] } },
  { name: 'digits', bundle: () => configured('digits', ['estimator.spectralNorm=true']), batches: { overhead: [], pytorch: [1, 64] }, spectral: true },
  { name: 'resnet32', bundle: () => resnet32(true), batches: { overhead: [], pytorch: [1] }, spectral: true },
].filter(({ name }) => only === undefined || name === only)) {
  const runtime = createRuntime();
  const source = await bundle();
  const model = await openBundle(source, runtime);
  const { K, kappa } = model.manifest;
  const title = (batch) => `${name}${spectral ? ', spectrally normalised' : ''}, ${K + kappa} steps, batch ${batch}`;
  const sdk = (batch) => () => timed(() => model.sample({ count: batch, batch, seed: 1 }));
  // On one thread, whose processor time is the time of the work: none is spent on waiting for another.
  const single = createRuntime({ threads: 1 });
  const one = await openBundle(source, single);
  for (const batch of batches.overhead) {
    const bare = await bareSampler(source, single, model.manifest, batch);
    const sampling = () => charged(() => one.sample({ count: batch, batch, seed: 1 }));
    const making = await alternate(rounds, [sampling, () => charged(bare.making)]);
    const given = await alternate(rounds, [sampling, () => charged(bare.run)]);
    overhead.push([title(batch), milliseconds(making.a), milliseconds(making.b), percent(making.ratio), percent(given.ratio)]);
    console.log(overhead.at(-1).join(' | '));
    await bare.release();
  }
  await one.dispose();
  for (const batch of pytorch ? batches.pytorch : []) {
    const theirs = (official) => async () => (await pytorch.ask({ do: 'sample', case: name, batch, steps: K + kappa, official, spectral })).milliseconds;
    const [kept, lean] = [await interleave(rounds, [sdk(batch), theirs(true)]), await interleave(rounds, [sdk(batch), theirs(false)])];
    comparison.push([title(batch), milliseconds(kept.a), milliseconds(kept.b), ratio(kept.ratio), milliseconds(lean.b), ratio(lean.ratio)]);
    console.log(comparison.at(-1).join(' | '));
  }
  await model.dispose();
  await source.remove?.();
}
pytorch?.close();
const text = `${table(['sampling', 'SDK, processor ms', 'bare sessions, processor ms', 'overhead min / median / max', 'with noise made beforehand for the bare'], overhead)}
${comparison.length > 0 ? `\n${table(['sampling', 'SDK, ms', 'PyTorch as the official code, ms', 'ratio min / median / max', 'PyTorch, no graph kept, ms', 'ratio min / median / max'], comparison)}\n` : ''}
${rounds} interleaved rounds. ${machine(pytorch)}.`;
console.log(`\n${text}`);
if (!dry && only === undefined) await writeSection('sampling', text);
process.exit(0);
