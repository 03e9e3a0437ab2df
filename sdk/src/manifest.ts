/**
 * manifest.json of a bundle: the types. `parseManifest` (manifest-parser.ts) is the only way in from untrusted bytes.
 */
import type { PairingName } from './pairing.js';

/** The format version that this SDK writes and reads. */
export const formatVersion = 1;

/** Fixed file names of the graphs. */
export const graphFiles = {
  ratio: 'ratio.onnx',
  gradient: 'gradient.onnx',
  step: 'step.onnx',
  sampler: 'sampler.onnx',
  prior: 'prior.onnx',
} as const;
export type GraphName = keyof typeof graphFiles;

/** Names of every graph's inputs and outputs: the same symbols as in the documentation and in every language. */
export const graphTensors = {
  ratio: { inputs: ['x'], outputs: ['logRatio'] },
  gradient: { inputs: ['x'], outputs: ['logRatio', 'drift'] },
  step: { inputs: ['x', 'noise', 'eta', 'nu'], outputs: ['next', 'logRatio'] },
  sampler: { inputs: ['x0', 'noise', 'eta', 'nu'], outputs: ['x'] },
  prior: { inputs: ['z'], outputs: ['x0'] },
} as const satisfies Record<GraphName, { inputs: readonly string[]; outputs: readonly string[] }>;

/** Files that a bundle may hold besides the graphs above, for other tools; this SDK lists them and does not read them. */
export const optionalFiles = ['sampler-device-noise.onnx', 'generator.onnx'] as const;

/** Name of the external data shared by all graphs. */
export const weightsFile = 'weights.bin';

/** Largest allowed difference |actual − expected| ≤ absolute + relative · max|expected|, per provider. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/**
 * Where x₀ comes from. `prior.onnx` maps z to x₀ for every kind; `z` says how z is drawn (docs/noise.md). `source`: x₀ are images of
 * another domain that the caller brings; prior.onnx then is uniform noise, which verification uses and sampling does not.
 */
export interface PriorRecord {
  readonly kind: 'ddp' | 'uniform' | 'gaussian' | 'source';
  /** `normal`: z ~ N(0, I); `uniform`: z ~ U(0, 1). Shape [N, D], D = product of the sample shape. */
  readonly z: 'normal' | 'uniform';
}

/** One file of the bundle. */
export interface FileRecord {
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in lower-case hexadecimal. */
  readonly sha256: string;
}

/** What made the estimator; free-form beyond these fields, for people and for `inspect`. */
export interface TrainingRecord {
  readonly dataset: string;
  readonly iterations: number;
  readonly seed: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly versions: Readonly<Record<string, string>>;
}

/** Inputs and expected outputs of one graph: tensor name → `.npy` file inside the bundle. */
export interface VerificationVector {
  readonly graph: GraphName;
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, string>>;
}

/** The manifest. */
export interface Manifest {
  readonly formatVersion: number;
  readonly name: string;
  /** [C, H, W] for images, [D] for points. */
  readonly sampleShape: readonly number[];
  /** Samples are clamped to this range at the very end; null: no clamp. */
  readonly valueRange: readonly [number, number] | null;
  readonly pairing: PairingName;
  /** Step size η. */
  readonly eta: number;
  /** Noise scale ν; multiplies the noise directly. */
  readonly nu: number;
  /** Number of bridging steps. */
  readonly K: number;
  /** Number of refinement steps κ after them. */
  readonly kappa: number;
  readonly prior: PriorRecord;
  readonly classNames: readonly string[] | null;
  readonly opset: number;
  /** Every file of the bundle but manifest.json, by its path relative to the bundle, with `/`. */
  readonly files: Readonly<Record<string, FileRecord>>;
  readonly training: TrainingRecord | null;
  /** Per provider (`cpu`, `webgpu`, `wasm`, `cuda`); `default` for those not named. */
  readonly tolerances: Readonly<Record<string, Tolerance>>;
  readonly verification: readonly VerificationVector[];
  /** Where graphs leave the emission profile (docs/lowerings.md): sentences for people; absent when they keep to it. */
  readonly departures?: readonly string[];
}
