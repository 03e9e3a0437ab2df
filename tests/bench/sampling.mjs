/**
 * Sampling: what the SDK adds to bare runs of the same sampler graph with noise made beforehand, and both against eager
 * PyTorch, side by side in one run on the CPU. The estimators are untrained: their speed is the same.
 * `npx tsc -b && node tests/bench/sampling.mjs --python <python with torch> [--rounds 10] [--dry]`; writes docs/benchmarks.md.
 */
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { createRuntime } from '../../runtimes/node/dist/index.js';
import { normals, openBundle, purposes, resolveExternalData } from '../../sdk/dist/index.js';
import { loadConfig } from '../../trainer/dist/config/load.js';
import { assemble } from '../../trainer/dist/run/assemble.js';
import { bundleOf } from '../../trainer/dist/run/run-bundle.js';
import { interleave, machine, milliseconds, options, percent, ratio, startPytorch, table, timed, writeSection } from './side-by-side.mjs';

const { python, rounds, dry } = options(10);
const pytorch = await startPytorch(python);
if (!pytorch) console.log(`${python} has no torch: sampling is not compared with PyTorch.`);

/** Bare session runs: x₀ and all noise made beforehand, one run of the graph. */
async function bareSampler(files, { eta, nu, K, kappa, sampleShape }, batch) {
  const { model, externalData } = await resolveExternalData('sampler.onnx', files.get('sampler.onnx'), (path) => Promise.resolve(files.get(path)));
  const session = await ort.InferenceSession.create(model, { externalData: Array.from(externalData, ([path, data]) => ({ path, data })), logSeverityLevel: 3 });
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const noise = new Float32Array((K + kappa) * batch * elements);
  for (let k = 0; k < K + kappa; k++) noise.set(normals({ seed: 1, purpose: purposes.flow, step: k, count: batch, elements }), k * batch * elements);
  const feeds = {
    x0: new ort.Tensor('float32', normals({ seed: 1, purpose: purposes.prior, step: 0, count: batch, elements }), [batch, ...sampleShape]),
    noise: new ort.Tensor('float32', noise, [K + kappa, batch, ...sampleShape]),
    eta: new ort.Tensor('float32', Float32Array.of(eta), []),
    nu: new ort.Tensor('float32', Float32Array.of(nu), []),
  };
  return { run: () => session.run(feeds), release: () => session.release() };
}

const overhead = [];
const comparison = [];
for (const { name, config: file, batches } of [
  { name: 'toy', config: 'swiss-roll', batches: { overhead: [64, 1024], pytorch: [64, 1024] } },
  { name: 'digits', config: 'digits', batches: { overhead: [8, 64], pytorch: [1, 64] } },
]) {
  const config = await loadConfig(join(import.meta.dirname, `../../trainer/configs/${file}.yaml`));
  const runtime = createRuntime();
  const assembly = await assemble(config, runtime);
  const files = await bundleOf(assembly, 0, runtime);
  await assembly.dispose();
  const model = await openBundle({ location: name, read: (path) => Promise.resolve(files.get(path)) }, runtime);
  const { K, kappa } = model.manifest;
  const title = (batch) => `${name}, ${K + kappa} steps, batch ${batch}`;
  const sdk = (batch) => () => timed(() => model.sample({ count: batch, batch, seed: 1 }));
  for (const batch of batches.overhead) {
    const bare = await bareSampler(files, model.manifest, batch);
    const result = await interleave(rounds, [sdk(batch), () => timed(bare.run)]);
    overhead.push([title(batch), milliseconds(result.a), milliseconds(result.b), percent(result.ratio)]);
    console.log(overhead.at(-1).join(' | '));
    await bare.release();
  }
  for (const batch of pytorch ? batches.pytorch : []) {
    const result = await interleave(rounds, [sdk(batch), async () => (await pytorch.ask({ do: 'sample', case: name, batch })).milliseconds]);
    comparison.push([title(batch), milliseconds(result.a), milliseconds(result.b), ratio(result.ratio)]);
    console.log(comparison.at(-1).join(' | '));
  }
  await model.dispose();
}
pytorch?.close();
const text = `${table(['sampling', 'SDK, ms', 'bare session, ms', 'overhead min / median / max'], overhead)}
${comparison.length > 0 ? `\n${table(['sampling', 'SDK, ms', 'PyTorch, ms', 'ratio min / median / max'], comparison)}\n` : ''}
${rounds} interleaved rounds. ${machine(pytorch)}.`;
console.log(`\n${text}`);
if (!dry) await writeSection('sampling', text);
process.exit(0);
