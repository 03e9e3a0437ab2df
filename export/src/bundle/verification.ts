/**
 * Verification vectors: inputs drawn by the noise specification (purpose testVectors) and the outputs that a reference
 * engine computes for them, for every graph of a bundle.
 */
import { fillNormals, fillUniforms, graphTensors, purposes, type GraphName, type GuidanceRecord, type PriorRecord, type Runtime, type Tensor, type Tolerance, type VerificationVector } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { UnsupportedError } from '../errors.js';

interface Subject {
  readonly sampleShape: readonly number[];
  readonly prior: PriorRecord;
  readonly eta: number;
  readonly nu: number;
  readonly K: number;
  readonly kappa: number;
  readonly unrolled?: number | undefined;
  readonly guidance?: GuidanceRecord;
  readonly mixture?: readonly number[];
  readonly reference: Runtime;
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
/** Beyond the steps whose numbers are inputs. */
const nudgeStep = 1_000_000;

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

/**
 * In a network of millions of units some always lie so near a kink that rounding decides about them (measured: two orders of one sum move
 * resnet32's gradient by up to a hundredth). How much that is, a deviation of x by little more than rounding shows, a few times over; engines
 * may differ by so many times as much. Where it exceeds what the CPU is allowed, the vectors of step and sampler take smaller steps.
 */
const nudge = 1e-6;
const nudges = 3;
const nudgeMargin = 4;

type Tensors = Readonly<Record<string, Tensor>>;

export async function verificationVectors(
  files: ReadonlyMap<string, Uint8Array>, subject: Subject,
): Promise<{ vectors: VerificationVector[]; files: Map<string, Uint8Array> }> {
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
    const { wanted, outputs } = await run(files, subject, graph, inputs);
    vectors.push({ graph, inputs: store(graph, wanted), outputs: store(graph, outputs), ...(toleranceOf && { tolerance: await toleranceOf(outputs) }) });
    const vector = vectors.at(-1)!;
    // Half precision is to agree with single precision, not with itself; so is another way to compute the same.
    const [half, lowered] = [`${graph}-fp16` as GraphName, `${graph}-cpu` as GraphName];
    if (files.has(`${half}.onnx`)) {
      checkHalf(half, (await run(files, subject, half, inputs)).outputs, outputs);
      vectors.push({ ...vector, graph: half, tolerance: halfTolerance });
    }
    if (files.has(`${lowered}.onnx`)) vectors.push({ ...vector, graph: lowered });
    return outputs;
  };

  const { sampleShape } = subject;
  const length = sampleShape.reduce((a, b) => a * b, 1);
  const shape = [samples, ...sampleShape];
  const normals = (step: number, count: number, elements: number): Float32Array => {
    const values = new Float32Array(count * elements);
    fillNormals(values, { seed, purpose: purposes.testVectors, step }, { count, elements });
    return values;
  };
  const z = normals(0, samples, length);
  if (subject.prior.z === 'uniform') fillUniforms(z, { seed, purpose: purposes.testVectors, step: 0 }, { count: samples, elements: length });
  const noise = (count: number): Tensor => {
    const data = new Float32Array(count * samples * length);
    for (let step = 0; step < count; step++) data.set(normals(1 + step, samples, length), step * samples * length);
    return { shape: [count, ...shape], data };
  };

  const { x0 } = await record('prior', { z: { shape: [samples, length], data: z } });
  const x: Tensor = { shape, data: x0!.data };
  const schedule = { eta: scalar(subject.eta), nu: scalar(subject.nu) };
  await record('ratio', { x });
  await record('gradient', { x });
  const nudgedX = Array.from({ length: nudges }, (_, which): Tensor => {
    const deviation = normals(nudgeStep + which, samples, length);
    return { shape, data: (x.data as Float32Array).map((value, i) => value + nudge * deviation[i]!) };
  });
  /** η at which this graph answers a nudge with no more than it may be off. */
  const steadyEta = (graph: GraphName, at: 'x' | 'x0', xi: Tensor): Promise<Tensor> => withGraph(files, subject, graph, async (evaluate) => {
    const answer = async (eta: number): Promise<number> => {
      const rest = { ...schedule, noise: xi, eta: scalar(eta) };
      const expected = (await evaluate({ ...rest, [at]: x })).outputs;
      let most = 0;
      for (const nudged of nudgedX) {
        const { outputs } = await evaluate({ ...rest, [at]: nudged });
        for (const [name, tensor] of Object.entries(expected)) {
          most = Math.max(most, nudgeMargin * largestDifference(outputs[name]!, tensor) / (subject.tolerance.absolute + subject.tolerance.relative * largest(tensor)));
        }
      }
      return most;
    };
    let { eta } = subject;
    // The answer falls with the step size, and twice as fast where steps amplify each other.
    for (let found = await answer(eta), tries = 0; found > 1 && tries < 4; tries++) found = await answer(eta /= 2 * found);
    return scalar(eta);
  });
  const [one, several]: readonly [Tensor, Tensor] = [{ shape, data: noise(1).data }, noise(steps)];
  const samplerEta = await steadyEta('sampler', 'x0', several);
  await record('step', { x, noise: one, ...schedule, eta: await steadyEta('step', 'x', one) });
  await record('sampler', { x0: x, noise: several, ...schedule, eta: samplerEta });
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
    const changed = await run(files, subject, 'generator', generate(latent.map((value, i) => value + perturbation * deviation[i]!)));
    return { absolute: byteTolerance + margin * largestDifference(changed.outputs['images']!, images!), relative: 0 };
  });
  return { vectors, files: arrays };
}

const scalar = (value: number): Tensor => ({ shape: [], data: Float32Array.of(value) });

type Evaluate = (inputs: Tensors) => Promise<{ wanted: Tensors; outputs: Tensors }>;

/** Runs a graph, once or more often, on its inputs and whatever else it wants. */
async function withGraph<T>(files: ReadonlyMap<string, Uint8Array>, subject: Subject, graph: GraphName, use: (evaluate: Evaluate) => Promise<T>): Promise<T> {
  const externalData = (name: string): Promise<Uint8Array> => Promise.resolve(files.get(name)!);
  const session = await subject.reference.load({ name: `${graph}.onnx`, model: files.get(`${graph}.onnx`)!, externalData }, { optimization: 'disabled' });
  try {
    return await use(async (inputs) => {
      const count = Object.entries(inputs).find(([name]) => ['x', 'x0', 'z'].includes(name))![1].shape[0]!;
      const extras = Object.entries(extraTensors(subject, count)).filter(([name]) => session.inputNames.includes(name));
      const wanted = { ...inputs, ...Object.fromEntries(extras) };
      return { wanted, outputs: await session.run(wanted, graphTensors[graph].outputs) };
    });
  } finally {
    await session.dispose();
  }
}

const run = (files: ReadonlyMap<string, Uint8Array>, subject: Subject, graph: GraphName, inputs: Tensors): ReturnType<Evaluate> =>
  withGraph(files, subject, graph, (evaluate) => evaluate(inputs));

/** Inputs of composed graphs: a class for every sample, φ, the weights of the estimators. */
function extraTensors({ guidance, mixture }: Subject, count: number): Record<string, Tensor> {
  return {
    ...(guidance && { y: { shape: [count], data: BigInt64Array.from({ length: count }, (_, i) => BigInt(i % guidance.classes)) }, phi: scalar(guidance.scale) }),
    ...(mixture && { weights: { shape: [mixture.length], data: Float32Array.from(mixture) } }),
  };
}

/** NaN where a value is none. */
function largestDifference(actual: Tensor, expected: Tensor): number {
  const [a, b] = [actual.data, expected.data] as [Float32Array | Uint8Array, Float32Array | Uint8Array];
  let most = 0;
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (difference > most || Number.isNaN(difference)) most = difference;
  }
  return most;
}

const largest = ({ data }: Tensor): number => (data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

function checkHalf(graph: GraphName, actual: Tensors, expected: Tensors): void {
  for (const [name, { data }] of Object.entries(expected)) {
    const scale = largest({ shape: [], data });
    const error = largestDifference(actual[name]!, { shape: [], data });
    const allowed = halfTolerance.absolute + halfTolerance.relative * scale;
    if (!(error <= allowed)) {
      throw new UnsupportedError(`In half precision ${graph}.onnx is off by ${error} in ${name}, whose largest value is ${scale}; allowed: ${allowed}. This network needs float32: leave the half-precision graphs out.`);
    }
  }
}
