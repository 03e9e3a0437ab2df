/** The files of a bundle from a field: graphs, shared weights, verification vectors, manifest. */
import { formatVersion, halfWeightsFile, weightsFile, type FileRecord, type GraphName, type Lowering, type Manifest, type RequiredGraphName, type Runtime, type Tolerance } from '@ratioflow/sdk';
import { GraphError } from '../errors.js';
import { emittedOpset } from '../ir/model.js';
import type { Model } from '../ir/types.js';
import { assertEmissionProfile, emissionProfileIssues } from '../lint/emission-profile.js';
import { writeModel } from '../onnx/write.js';
import type { Field } from '../products/field.js';
import { generatorModel, hasGenerator } from '../products/generator.js';
import { deviceNoiseModel, gradientModel, ratioModel, samplerModel, stepModel, unrolledModel } from '../products/graphs.js';
import { priorModel, type Prior } from '../products/prior.js';
import { checkDescription, checkReference } from './check-content.js';
import { verificationVectors } from './verification.js';
import { WeightStore } from './weight-store.js';

/** What a bundle holds besides what every bundle holds. */
export interface ProductOptions {
  /** Half-precision forms of ratio, gradient, step and sampler, for CUDA and WebGPU, with weights of their own. @default false */
  readonly float16?: boolean;
  /** Steps of `sampler-unrolled.onnx`, for engines without control flow: 1 to 100. @default none */
  readonly unroll?: number;
  /** Embed the weights in every graph instead of sharing one file. @default false */
  readonly singleFile?: boolean;
  /** The generator of images, whose verification runs the whole flow. @default true */
  readonly generator?: boolean;
}

/** What a bundle is made of. */
export interface BundleContent {
  readonly field: Field;
  /** The same, computed as suits a kind of engines. */
  readonly lowered: Readonly<Record<Lowering, Field | undefined>>;
  /** The same in half precision. */
  readonly half?: Field | undefined;
  readonly prior: Prior;
  /** What the manifest says that does not follow from the rest. */
  readonly about: Omit<Manifest, 'formatVersion' | 'sampleShape' | 'prior' | 'opset' | 'files' | 'tolerances' | 'verification' | 'unrolled' | 'departures'>;
  readonly products: ProductOptions;
  /** Whether graphs may leave the emission profile, as foreign models make them: the manifest then says where. */
  readonly allowDepartures: boolean;
  /** Computes the expected outputs of the verification vectors, on a CPU, with graph optimisation off: `createRuntime()` of `@ratioflow/node`. */
  readonly reference: Runtime;
}

/** Per provider: |actual − expected| ≤ absolute + relative · max|expected|. Looser where arithmetic is of lower precision. */
const tolerances: Readonly<Record<string, Tolerance>> = {
  cpu: { absolute: 1e-5, relative: 1e-4 },
  wasm: { absolute: 1e-5, relative: 1e-4 },
  webgpu: { absolute: 1e-4, relative: 1e-3 },
  cuda: { absolute: 1e-3, relative: 1e-2 },
  default: { absolute: 1e-4, relative: 1e-3 },
};

/** Beyond this an unrolled graph is larger and slower to load than anybody wants. */
const mostUnrolled = 100;

/** Makes the bundle: file name → content, manifest.json included. @throws {ArgumentError} for what no manifest may say; {GraphError} for graphs whose values are not finite */
export async function assembleBundle(content: BundleContent): Promise<Map<string, Uint8Array>> {
  const { field, prior, about, products } = content;
  const described = { ...about, sampleShape: field.sampleShape, prior: prior.record, opset: emittedOpset, tolerances };
  checkDescription(described);
  checkReference(content.reference);
  const files = new Map<string, Uint8Array>();
  const [store, halfStore] = products.singleFile ? [] : [new WeightStore(weightsFile), new WeightStore(halfWeightsFile)];
  const departures = new Map<string, string[]>();
  for (const [name, model] of modelsOf(content)) {
    const controlFlow = name.startsWith('sampler') ? name !== 'sampler-unrolled' : name === 'generator';
    if (!content.allowDepartures) assertEmissionProfile(`${name}.onnx`, model, { controlFlow });
    else for (const issue of emissionProfileIssues(model, { controlFlow })) departures.set(issue, [...departures.get(issue) ?? [], `${name}.onnx`]);
    files.set(`${name}.onnx`, writeModel(model, name.endsWith('-fp16') ? halfStore : store));
  }
  if (store) files.set(weightsFile, store.bytes());
  if (halfStore && content.half) files.set(halfWeightsFile, halfStore.bytes());
  const verification = await verificationVectors({ files, ...about, sampleShape: field.sampleShape, prior: prior.record, unrolled: products.unroll, reference: content.reference, tolerance: tolerances['cpu']! });
  for (const [name, bytes] of verification.files) files.set(name, bytes);
  const manifest: Manifest = {
    formatVersion,
    ...described,
    files: await fileRecords(files),
    verification: verification.vectors,
    ...(departures.size > 0 && { departures: Array.from(departures, ([issue, graphs]) => `${graphs.join(', ')}: ${issue}`) }),
    ...(products.unroll !== undefined && { unrolled: products.unroll }),
  };
  files.set('manifest.json', new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`));
  return files;
}

/** Every graph, made when it is asked for: large ones need not be in memory together. */
function* modelsOf({ field, lowered, half, prior, about, products: { unroll, generator = true } }: BundleContent): Generator<[GraphName, Model]> {
  if (unroll !== undefined && !(Number.isSafeInteger(unroll) && unroll >= 1 && unroll <= mostUnrolled)) {
    throw new GraphError(`The sampler cannot be unrolled to ${unroll} steps: give an integer from 1 to ${mostUnrolled}. A flow of more steps is several runs of it.`);
  }
  const forms = (of: Field): Readonly<Record<Exclude<RequiredGraphName, 'prior'>, () => Model>> =>
    ({ ratio: () => ratioModel(of), gradient: () => gradientModel(of), step: () => stepModel(of), sampler: () => samplerModel(of) });
  for (const [name, make] of Object.entries(forms(field))) yield [name as GraphName, make()];
  for (const [lowering, of] of Object.entries(lowered) as [Lowering, Field | undefined][]) {
    if (!of) continue;
    yield [`step-${lowering}`, stepModel(of)];
    yield [`sampler-${lowering}`, samplerModel(of)];
  }
  yield ['prior', priorModel(prior, field.sampleShape)];
  yield ['sampler-device-noise', deviceNoiseModel(field)];
  const { eta, nu, K, kappa, valueRange, guidance, mixture } = about;
  if (generator && prior.record.kind !== 'source' && hasGenerator(field, valueRange)) {
    const fixed = { ...(guidance && { phi: [guidance.scale] }), ...(mixture && { weights: mixture }) };
    yield ['generator', generatorModel(field, prior, { eta, nu, steps: K + kappa, valueRange, fixed })];
  }
  if (unroll !== undefined) yield ['sampler-unrolled', unrolledModel(field, unroll)];
  if (half) for (const [name, make] of Object.entries(forms(half))) yield [`${name}-fp16` as GraphName, make()];
}

async function fileRecords(files: ReadonlyMap<string, Uint8Array>): Promise<Record<string, FileRecord>> {
  const records: Record<string, FileRecord> = {};
  for (const [name, bytes] of files) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
    records[name] = { size: bytes.byteLength, sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') };
  }
  return records;
}
