/** All files of a bundle, in memory: graphs, shared weights, verification vectors, manifest. */
import {
  formatVersion, graphFiles, pairingOf, weightsFile,
  type FileRecord, type GraphName, type Manifest, type PairingName, type Runtime, type Tolerance, type TrainingRecord,
} from '@ratioflow/sdk';
import { assertEmissionProfile, emissionProfileIssues } from '../lint/emission-profile.js';
import { emittedOpset } from '../ir/model.js';
import type { Model } from '../ir/types.js';
import { writeModel } from '../onnx/write.js';
import { estimatorOf } from '../products/estimator.js';
import { gradientGraph, ratioGraph, samplerGraph, stepGraph } from '../products/graphs.js';
import { priorGraph, priorRecord, type PriorSource } from '../products/prior.js';
import { verificationVectors } from './verification.js';
import { WeightStore } from './weight-store.js';

export interface BundleOptions {
  readonly name: string;
  /** x [N, …] → n [N] or [N, 1]. */
  readonly estimator: Model;
  readonly pairing: PairingName;
  readonly prior: PriorSource;
  /** Step size η. */
  readonly eta: number;
  /** Noise scale ν. */
  readonly nu: number;
  /** Bridging steps K. */
  readonly K: number;
  /** Refinement steps κ. */
  readonly kappa: number;
  /** Samples are clamped to this range at the very end. @default null: no clamp */
  readonly valueRange?: readonly [number, number] | null;
  /** @default null */
  readonly classNames?: readonly string[] | null;
  /** @default null */
  readonly training?: TrainingRecord | null;
  /** Whether graphs may leave the emission profile, as foreign estimators make them: the manifest then says where. @default false: an error */
  readonly allowDepartures?: boolean;
  /** Computes the expected outputs of the verification vectors; a CPU engine with graph optimisation off. */
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

/**
 * Makes a bundle.
 * @returns file name → content, manifest.json included
 * @throws {GraphError} when the estimator's signature does not fit
 * @throws {UnsupportedError} when it cannot be differentiated
 */
export async function createBundle(options: BundleOptions): Promise<Map<string, Uint8Array>> {
  const estimator = estimatorOf(options.estimator);
  const pairing = pairingOf(options.pairing);
  const { sampleShape } = estimator;
  const models: Readonly<Record<GraphName, Model>> = {
    ratio: ratioGraph(estimator, pairing),
    gradient: gradientGraph(estimator, pairing),
    step: stepGraph(estimator, pairing),
    sampler: samplerGraph(estimator, pairing),
    prior: priorGraph(options.prior, sampleShape),
  };
  const files = new Map<string, Uint8Array>();
  const store = new WeightStore(weightsFile);
  const departures = new Map<string, string[]>();
  for (const [name, model] of Object.entries(models) as [GraphName, Model][]) {
    const profile = { controlFlow: name === 'sampler' };
    if (!options.allowDepartures) assertEmissionProfile(graphFiles[name], model, profile);
    else for (const issue of emissionProfileIssues(model, profile)) departures.set(issue, [...departures.get(issue) ?? [], graphFiles[name]]);
    files.set(graphFiles[name], writeModel(model, store));
  }
  files.set(weightsFile, store.bytes());
  const verification = await verificationVectors(files, { ...options, sampleShape, prior: priorRecord(options.prior) });
  for (const [name, bytes] of verification.files) files.set(name, bytes);

  const manifest: Manifest = {
    formatVersion,
    name: options.name,
    sampleShape,
    valueRange: options.valueRange ?? null,
    pairing: pairing.name,
    eta: options.eta,
    nu: options.nu,
    K: options.K,
    kappa: options.kappa,
    prior: priorRecord(options.prior),
    classNames: options.classNames ?? null,
    opset: emittedOpset,
    files: await fileRecords(files),
    training: options.training ?? null,
    tolerances,
    verification: verification.vectors,
    ...(departures.size > 0 && { departures: Array.from(departures, ([issue, graphs]) => `${graphs.join(', ')}: ${issue}`) }),
  };
  files.set('manifest.json', new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`));
  return files;
}

async function fileRecords(files: ReadonlyMap<string, Uint8Array>): Promise<Record<string, FileRecord>> {
  const records: Record<string, FileRecord> = {};
  for (const [name, bytes] of files) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>));
    records[name] = { size: bytes.byteLength, sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('') };
  }
  return records;
}
