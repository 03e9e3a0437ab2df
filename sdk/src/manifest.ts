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
/** Graphs that every bundle has. */
export type RequiredGraphName = keyof typeof graphFiles;

/** Inputs of a composed bundle's graphs besides: class of every sample [N] (int64), φ [], and weight of every estimator [E]. */
export const extraInputs = ['y', 'phi', 'weights'] as const;

const ratio = { inputs: ['x'], extras: ['weights'], outputs: ['logRatio'] } as const;
const gradient = { inputs: ['x'], extras: extraInputs, outputs: ['logRatio', 'drift'] } as const;
const step = { inputs: ['x', 'noise', 'eta', 'nu'], extras: extraInputs, outputs: ['next', 'logRatio'] } as const;
const sampler = { inputs: ['x0', 'noise', 'eta', 'nu'], extras: extraInputs, outputs: ['x'] } as const;

/**
 * Names of every graph's inputs and outputs: the same symbols as in the documentation and in every language. The graph
 * `name` is the file `name.onnx`. Beyond those of `graphFiles`, graphs are optional: for other tools, and for `verify`.
 * Of the `extras`, a guided bundle's graph has `y` and `phi`, one with a mixture `weights`, and no other graph has any.
 */
export const graphTensors = {
  ratio, gradient, step, sampler,
  prior: { inputs: ['z'], extras: [], outputs: ['x0'] },
  'sampler-device-noise': { inputs: ['x0', 'steps', 'eta', 'nu'], extras: extraInputs, outputs: ['x'] },
  'sampler-unrolled': sampler,
  generator: { inputs: ['z'], extras: ['y'], outputs: ['images'] },
  'ratio-fp16': ratio, 'gradient-fp16': gradient, 'step-fp16': step, 'sampler-fp16': sampler,
  'step-cpu': step, 'sampler-cpu': sampler, 'step-wasm': step, 'sampler-wasm': sampler,
} as const satisfies Record<RequiredGraphName, unknown> & Record<string, { inputs: readonly string[]; extras: readonly (typeof extraInputs)[number][]; outputs: readonly string[] }>;
/** Kinds of engines for which a bundle may have graphs of its own, `step-cpu.onnx` for one: ONNX Runtime on processors, and WebAssembly. */
export type Lowering = 'cpu' | 'wasm';

/** Graphs that a bundle may have. */
export type GraphName = keyof typeof graphTensors;

/** Name of the external data shared by all graphs. */
export const weightsFile = 'weights.bin';

/** The same for the graphs whose names end in `-fp16`. */
export const halfWeightsFile = 'weights-fp16.bin';

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
  /** `ddp`: the Gaussian of the data; `uniform` on [−1, 1]; `gaussian`: N(0, s²); `source`: given. */
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
  /** Its name. */
  readonly dataset: string;
  readonly iterations: number;
  /** In decimal digits. */
  readonly seed: string;
  /** The whole configuration, as it was validated. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of what trained it, by name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Inputs and expected outputs of one graph: tensor name → `.npy` file inside the bundle. */
export interface VerificationVector {
  readonly graph: GraphName;
  /** Every input of the graph. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Those that are compared. */
  readonly outputs: Readonly<Record<string, string>>;
  /** Instead of the provider's. */
  readonly tolerance?: Tolerance;
}

/** What the graphs of a guided bundle want besides: `y`, a class for every sample, and `phi`, the scale of the guidance. */
export interface GuidanceRecord {
  /** Classes are 0 … classes − 1; a class of −1 guides nothing. */
  readonly classes: number;
  /** φ where nobody gives another. */
  readonly scale: number;
}

/** The manifest. */
export interface Manifest {
  /** Of the bundle format: 1. */
  readonly formatVersion: number;
  /** Of the model, for people. */
  readonly name: string;
  /** [C, H, W] for images, [D] for points. */
  readonly sampleShape: readonly number[];
  /** Samples are clamped to this range at the very end; null: no clamp. */
  readonly valueRange: readonly [number, number] | null;
  /** Which potential f' the flow descends. */
  readonly pairing: PairingName;
  /** Step size η. */
  readonly eta: number;
  /** Noise scale ν; multiplies the noise directly. */
  readonly nu: number;
  /** Number of bridging steps. */
  readonly K: number;
  /** Number of refinement steps κ after them. */
  readonly kappa: number;
  /** Where samples start. */
  readonly prior: PriorRecord;
  /** Names of the classes of the data, in order; null without classes. */
  readonly classNames: readonly string[] | null;
  /** Of the graphs, in `ai.onnx`. */
  readonly opset: number;
  /** Every file of the bundle but manifest.json, by its path relative to the bundle, with `/`. */
  readonly files: Readonly<Record<string, FileRecord>>;
  /** What made the estimator; null where nobody says. */
  readonly training: TrainingRecord | null;
  /** Per provider (`cpu`, `webgpu`, `wasm`, `cuda`); `default` for those not named. */
  readonly tolerances: Readonly<Record<string, Tolerance>>;
  /** What a new engine is checked with. */
  readonly verification: readonly VerificationVector[];
  /** Where graphs leave the emission profile (docs/lowerings.md): sentences for people; absent when they keep to it. */
  readonly departures?: readonly string[];
  /** Number of steps of `sampler-unrolled.onnx`. */
  readonly unrolled?: number;
  /** Drift plus φ ∇ log p(y|x): gradient, step and samplers have the inputs `y` and `phi`. */
  readonly guidance?: GuidanceRecord;
  /** Sum of several estimators' drifts: the graphs have the input `weights`, by default these. */
  readonly mixture?: readonly number[];
}
