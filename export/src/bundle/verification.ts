/**
 * Verification vectors: inputs drawn by the noise specification (purpose testVectors) and the outputs that a reference
 * engine computes for them, for every graph of a bundle.
 */
import { fillNormals, fillUniforms, purposes, type GraphName, type PriorRecord, type Tensor, type Tolerance, type VerificationVector } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { GraphError, UnsupportedError } from '../errors.js';
import { largest, largestDifference, runGraph, scalar, type Subject, type Tensors } from './run-graph.js';
import { steadyEta, steadySamples } from './steadiness.js';

interface BundleSubject extends Subject {
  readonly sampleShape: readonly number[];
  readonly prior: PriorRecord;
  readonly eta: number;
  readonly nu: number;
  readonly K: number;
  readonly kappa: number;
  readonly unrolled?: number | undefined;
  /** What a CPU is allowed. */
  readonly tolerance: Tolerance;
}

/** Samples per vector: more than one, so that a batch axis that is lost shows. */
const samples = 3;
/** The generator's take the noise of the whole flow each. */
const generatorSamples = 2;
/** Steps of the sampler's vector. */
const steps = 2;
const seed = 0n;
/** Samples of the prior from which those are taken where rounding decides nothing. */
const candidates = 4 * samples;

/** Halves have 11 bits, and a network adds up the rounding of its layers. */
const halfTolerance: Tolerance = { absolute: 2e-3, relative: 2e-2 };
/** Levels of 256: a value near the middle between two may go either way. */
const byteTolerance = 2;
/**
 * A long flow of a trained estimator passes millions of kinks of LeakyReLU, and now and then rounding puts it on the other
 * side of one, which its steps then amplify (measured on the digits: rounding alone moved a pixel by 6 levels). How much
 * that can be, a deviation of the latent far above rounding shows; engines may differ from each other by twice as much.
 */
const perturbation = 1e-4;
const margin = 2;

/** @throws {GraphError} where the reference engine's outputs are not finite */
export async function verificationVectors(subject: BundleSubject): Promise<{ vectors: VerificationVector[]; files: Map<string, Uint8Array> }> {
  const { files, sampleShape, tolerance } = subject;
  const arrays = new Map<string, Uint8Array>();
  const vectors: VerificationVector[] = [];
  const store = (graph: GraphName, tensors: Tensors): Record<string, string> =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => {
      const file = `verify/${graph}.${name}.npy`;
      arrays.set(file, encodeNpy(tensor));
      return [name, file];
    }));
  const record = async (graph: GraphName, inputs: Tensors, toleranceOf?: (outputs: Tensors) => Promise<Tolerance>): Promise<Tensors> => {
    if (!files.has(`${graph}.onnx`)) return {};
    const { wanted, outputs } = await runGraph(subject, graph, inputs);
    checkFinite(graph, outputs);
    vectors.push({ graph, inputs: store(graph, wanted), outputs: store(graph, outputs), ...(toleranceOf && { tolerance: await toleranceOf(outputs) }) });
    const vector = vectors.at(-1)!;
    // Half precision is to agree with single precision, not with itself; so is another way to compute the same.
    const half = `${graph}-fp16` as GraphName;
    if (files.has(`${half}.onnx`)) {
      checkHalf(half, (await runGraph(subject, half, inputs)).outputs, outputs);
      vectors.push({ ...vector, graph: half, tolerance: halfTolerance });
    }
    for (const lowered of [`${graph}-cpu`, `${graph}-wasm`] as GraphName[]) if (files.has(`${lowered}.onnx`)) vectors.push({ ...vector, graph: lowered });
    return outputs;
  };

  const length = sampleShape.reduce((a, b) => a * b, 1);
  const shape = [samples, ...sampleShape];
  const normals = (step: number, count: number, elements: number): Float32Array => {
    const values = new Float32Array(count * elements);
    fillNormals(values, { seed, purpose: purposes.testVectors, step }, { count, elements });
    return values;
  };
  const noise = (count: number): Tensor => {
    const data = new Float32Array(count * samples * length);
    for (let step = 0; step < count; step++) data.set(normals(1 + step, samples, length), step * samples * length);
    return { shape: [count, ...shape], data };
  };

  const latents = normals(0, candidates, length);
  if (subject.prior.z === 'uniform') fillUniforms(latents, { seed, purpose: purposes.testVectors, step: 0 }, { count: candidates, elements: length });
  const drawn = (await runGraph(subject, 'prior', { z: { shape: [candidates, length], data: latents } })).outputs['x0']!;
  const chosen = await steadySamples(subject, { shape: [candidates, ...sampleShape], data: drawn.data }, samples, tolerance);
  const z = Float32Array.from(chosen.flatMap((index) => [...latents.subarray(index * length, (index + 1) * length)]));
  const { x0 } = await record('prior', { z: { shape: [samples, length], data: z } });
  const x: Tensor = { shape, data: x0!.data };
  const schedule = { eta: scalar(subject.eta), nu: scalar(subject.nu) };
  await record('ratio', { x });
  await record('gradient', { x });
  const step = { x, noise: { shape, data: noise(1).data }, ...schedule };
  await record('step', { ...step, eta: await steadyEta(subject, 'step', step, 'x', tolerance) });
  const sampler = { x0: x, noise: noise(steps), ...schedule };
  const samplerEta = await steadyEta(subject, 'sampler', sampler, 'x0', tolerance);
  await record('sampler', { ...sampler, eta: samplerEta });
  // Without noise, all engines are to agree.
  await record('sampler-device-noise', { x0: x, steps: { shape: [], data: BigInt64Array.of(BigInt(steps)) }, eta: samplerEta, nu: scalar(0) });
  // Small steps, so that many of them do not amplify rounding.
  const { unrolled } = subject;
  if (unrolled !== undefined) await record('sampler-unrolled', { x0: x, noise: noise(unrolled), ...schedule, eta: scalar(subject.eta / unrolled) });
  const width = length * (subject.K + subject.kappa + 1);
  const latent = normals(0, generatorSamples, width);
  const generate = (data: Float32Array): Tensors => ({ z: { shape: [generatorSamples, width], data } });
  const deviation = normals(1, generatorSamples, width);
  if (files.has('generator.onnx')) await record('generator', generate(latent), async ({ images }) => {
    const changed = await runGraph(subject, 'generator', generate(latent.map((value, i) => value + perturbation * deviation[i]!)));
    return { absolute: byteTolerance + margin * largestDifference(changed.outputs['images']!, images!), relative: 0 };
  });
  return { vectors, files: arrays };
}

/** A bundle whose numbers are none would fail its own verification everywhere, and make no samples. */
function checkFinite(graph: GraphName, outputs: Tensors): void {
  for (const [name, { data }] of Object.entries(outputs)) {
    const found = (data as Float32Array).find((value) => !Number.isFinite(value));
    if (found !== undefined) throw new GraphError(`${graph}.onnx gives ${found} in ${name} for a draw of the prior: a bundle's values must be finite. Look at the weights of the network and, in a composition, of the classifier, and at its scale and weights.`);
  }
}

function checkHalf(graph: GraphName, actual: Tensors, expected: Tensors): void {
  for (const [name, { data }] of Object.entries(expected)) {
    const scale = largest({ data });
    const error = largestDifference(actual[name]!, { shape: [], data });
    const allowed = halfTolerance.absolute + halfTolerance.relative * scale;
    if (!(error <= allowed)) {
      throw new UnsupportedError(`In half precision ${graph}.onnx is off by ${error} in ${name}, whose largest value is ${scale}; allowed: ${allowed}. This network needs float32: leave the half-precision graphs out.`);
    }
  }
}
