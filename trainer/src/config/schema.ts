/** The configuration of a training run, field by field, with the defaults of METHOD's tables. */
import { pairingNames } from '@ratioflow/sdk';
import { z } from 'zod';
import { backendChoices } from '../backend/load-tensorflow.js';
import { datasetNames, splits } from '../data/open.js';
import { estimatorNames } from '../estimators/create-estimator.js';
import { priorNames } from '../priors/prior.js';

const positive = z.number().positive();
const count = z.int().min(1);
/** YAML's numbers are exact up to 2⁵³ only; larger seeds are written in quotes. */
const isSeed = (value: unknown): boolean =>
  (Number.isSafeInteger(value) && (value as number) >= 0) || (typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) < 2n ** 64n);
const seed = z.unknown().refine(isSeed, 'a seed is an integer from 0 to 2^64 - 1, from 2^53 on in quotes').transform(String);

/** What the sets have beside their name; load.ts knows which field belongs to which. */
const dataFields = {
  /** Of `mnist` and `cifar10`: part of the set; train when left out. */
  split: z.enum(splits).optional(),
  /** Of `mnist` and `cifar10`: folder of the set's files. mnist has those of a package when left out. */
  folder: z.string().min(1).optional(),
  /** Of sets with labels in memory: keep samples of these classes only. */
  classes: z.array(z.int().min(0).max(255)).min(1).optional(),
  /** Of `gaussian`: its mean and variance (times the identity). */
  mean: z.array(z.number()).optional(),
  variance: positive.optional(),
  /** Of `images`: a folder or an archive (.zip, .tar, .tar.gz); of `npy`: the file. */
  path: z.string().min(1).optional(),
  /** Of `npy`: file of one label per sample. */
  labels: z.string().min(1).optional(),
  /** Of `images`: side of the square samples. */
  size: z.int().min(8).max(1024).optional(),
  /** Of `images`: side of the square that is cut out of the middle first. */
  centreCrop: z.int().min(8).optional(),
  /** Of `images`: side to which images are resized before samples are cut out at random places; `size` when left out. */
  resize: z.int().min(8).max(2048).optional(),
  /** Of `images`: 1 for grey, 3 for colours; 3 when left out. */
  channels: z.union([z.literal(1), z.literal(3)]).optional(),
  /** Of sets of images: whether half of a batch is mirrored; when left out true for `images` and `cifar10`, false for `npy`. */
  flip: z.boolean().optional(),
  /** Of `images`: leave files out that are no readable images, or stop. */
  onUnreadable: z.enum(['skip', 'stop']).optional(),
  /** Of `images`: folder where decoded images are kept. */
  cache: z.string().min(1).optional(),
};

export const trainingConfigSchema = z.strictObject({
  /** Name of the run and of its bundle. */
  name: z.string().regex(/^[\w.-]{1,100}$/, 'letters, digits, ".", "_" and "-"'),
  /** Everything random follows from it. */
  seed: seed.default('42'),
  data: z.strictObject({ name: z.enum(datasetNames), ...dataFields }),
  /** Of the prior `source`: the set that flows start from, with the fields of `data`. */
  source: z.strictObject({ name: z.enum(datasetNames), ...dataFields }).optional(),
  estimator: z.strictObject({
    name: z.enum(estimatorNames),
    /** Of `custom`: a tfjs model (model.json or its folder), or an ES module (.js, .mjs) whose default export makes one. */
    path: z.string().optional(),
    /** Of `custom`: whether its own weights are kept instead of those that follow from the seed. By default those of a saved model are. */
    keepWeights: z.boolean().optional(),
    /** Spectral normalisation of every convolution and dense layer. */
    spectralNorm: z.boolean().optional(),
    /** Self-attention after the stage of 128 channels; by default only in resnet64-shallow. */
    attention: z.boolean().optional(),
    /** Factor on the number of filters or hidden units of every layer. */
    width: positive.max(16).optional(),
  }),
  pairing: z.enum(pairingNames).default('lr-kl'),
  /** Where the flow starts: a name, or for `gaussian` also its standard deviation. */
  prior: z.preprocess((value) => (typeof value === 'string' ? { kind: value } : value ?? {}), z.strictObject({
    kind: z.enum(priorNames),
    /** Of `gaussian`; 1 when left out. */
    deviation: positive.optional(),
    /** Of `ddp`: largest rank of the covariance; with neither this nor `explained`, samples of up to 3,072 values have a full one. */
    rank: count.max(2048).optional(),
    /** Of `ddp`: part of the variance at which the rank is large enough; 0.95 when left out. */
    explained: z.number().gt(0).max(1).optional(),
  })),
  flow: z.strictObject({
    /** Bridging steps per iteration. */
    K: z.int().min(0).max(10_000),
    /** Refinement steps that sampling adds. */
    kappa: z.int().min(0).max(10_000).default(0),
    /** Step size η. */
    eta: positive,
    /** Noise scale ν. */
    nu: z.number().min(0).default(0.01),
  }),
  training: z.strictObject({
    iterations: count,
    /** Samples per iteration, of the data and of the flow. */
    batch: count.max(65_536).default(64),
    /** Adam's step size. */
    learningRate: positive.default(1e-4),
    /** Iterations at which the step size is multiplied by `decayFactor`. */
    decayAt: z.array(count).default([]),
    decayFactor: positive.default(0.1),
    beta1: z.number().min(0).lt(1).default(0.9),
    beta2: z.number().min(0).lt(1).default(0.999),
    /** Rate of the moving average of the weights, from the first step on, without bias correction; 0: none. */
    ema: z.number().min(0).lt(1).default(0.998),
    /** Standard deviation of the noise on the data. */
    dequantisation: z.number().min(0).default(0.03),
  }),
  /** Engine of the bridging flow. */
  bridge: z.enum(['onnxruntime', 'tfjs']).default('onnxruntime'),
  /** Where ONNX Runtime computes the flow; `cuda` needs an NVIDIA GPU and docs/cuda.md. */
  provider: z.enum(['cpu', 'cuda']).default('cpu'),
  /** tfjs backend of the learning. */
  backend: z.enum(backendChoices).default('auto'),
  checkpoints: z.strictObject({
    /** Iterations between checkpoints. */
    every: count.default(500),
    /** How many of the latest are kept. */
    keep: count.default(3),
  }).prefault({}),
  previews: z.strictObject({
    /** Iterations between previews; 0: none. */
    every: z.int().min(0).default(500),
    /** Samples in a preview. */
    count: count.max(4096).default(64),
  }).prefault({}),
});

/** A complete, valid configuration. */
export type TrainingConfig = z.infer<typeof trainingConfigSchema>;
