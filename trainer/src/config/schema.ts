/** The configuration of an estimator's training run, field by field, with the defaults of METHOD's tables; and what other kinds of runs share. */
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
const seedField = z.unknown().refine(isSeed, 'a seed is an integer from 0 to 2^64 - 1, from 2^53 on in quotes').transform(String);

/** A data set: its name, and fields of which load.ts knows to which set they belong. */
const dataSchema = z.strictObject({
  name: z.enum(datasetNames),
  /** Of `mnist` and `cifar10`: part of the set; train when left out. */
  split: z.enum(splits).optional(),
  /** Of `mnist` and `cifar10`: folder of the set's files. mnist has those of a package when left out. */
  folder: z.string().min(1).optional(),
  /** Of sets with labels in memory: keep samples of these classes only. */
  classes: z.array(z.int().min(0).max(255)).min(1).optional(),
  /** Of sets with images in memory: keep images first … end − 1 only. */
  range: z.tuple([z.int().min(0), count]).optional(),
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
  channels: z.literal([1, 3]).optional(),
  /** Of sets of images: whether half of a batch is mirrored; when left out true for `images` and `cifar10`, false for `npy`. */
  flip: z.boolean().optional(),
  /** Of `images`: leave files out that are no readable images, or stop. */
  onUnreadable: z.enum(['skip', 'stop']).optional(),
  /** Of `images`: folder where decoded images are kept. */
  cache: z.string().min(1).optional(),
}).refine(({ size, resize }) => size === undefined || resize === undefined || resize >= size, {
  path: ['resize'], message: 'at least as large as size: samples are cut out of the resized images',
});

const networkSchema = z.strictObject({
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
});

/** What every run has, whatever it trains. */
export const runFields = {
  /** Name of the run and of what comes out. */
  name: z.string().regex(/^[\w.-]{1,100}$/, 'letters, digits, ".", "_" and "-"'),
  /** Everything random follows from it. */
  seed: seedField.default('42'),
  data: dataSchema,
  /** tfjs backend of the learning. */
  backend: z.enum(backendChoices).default('auto'),
  checkpoints: z.strictObject({
    /** Iterations between checkpoints. */
    every: count.default(500),
    /** How many of the latest are kept: a number, or with `every` also those of iterations that it divides. */
    keep: z.preprocess((value) => (typeof value === 'number' ? { latest: value } : value ?? {}), z.strictObject({
      latest: count.default(3),
      every: count.optional(),
    })),
  }).prefault({ keep: undefined }),
  /** What happens when the loss explodes, or mean ratios drift to where no ratio's can be. A loss that is no number always ends the run, unless it is rolled back. */
  divergence: z.strictObject({
    action: z.enum(['report', 'stop', 'rollback']).default('report'),
    /** Of `rollback`: factor on the step size from the checkpoint on. */
    factor: z.number().gt(0).lt(1).default(0.5),
    /** Of `rollback`: how often at most in a run. */
    attempts: count.default(3),
  }).prefault({}),
};

/** Of every run's `training`. */
export const trainingFields = {
  iterations: count,
  /** Samples per iteration. */
  batch: count.max(65_536).default(64),
  /** Samples that learning takes through the network at once, adding gradients up; when left out as many as keep memory small. */
  microBatch: count.optional(),
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
};

export const trainingConfigSchema = z.strictObject({
  kind: z.literal('estimator').default('estimator'),
  ...runFields,
  /** Of the prior `source`: the set that flows start from, with the fields of `data`. */
  source: dataSchema.optional(),
  estimator: networkSchema,
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
  training: z.strictObject(trainingFields),
  /** Engine of the bridging flow. */
  bridge: z.enum(['onnxruntime', 'tfjs']).default('onnxruntime'),
  /** Where ONNX Runtime computes the flow; `cuda` needs an NVIDIA GPU and docs/cuda.md. */
  provider: z.enum(['cpu', 'cuda']).default('cpu'),
  previews: z.strictObject({
    /** Iterations between previews; 0: none. */
    every: z.int().min(0).default(500),
    /** Samples in a preview. */
    count: count.max(4096).default(64),
  }).prefault({}),
});

/** A complete, valid configuration of an estimator's run. */
export type TrainingConfig = z.infer<typeof trainingConfigSchema>;

const attackSchema = z.strictObject({
  /** Largest L2 norm of the perturbation, in units of the values (images lie in [−1, 1]). */
  radius: positive,
  /** Length of a step; 2.5 · radius / steps when left out. */
  stepSize: positive.optional(),
  steps: count.max(1000).default(10),
});

export const classifierConfigSchema = z.strictObject({
  kind: z.literal('classifier'),
  ...runFields,
  /** Set for testing, with the fields of `data`; the test split of `mnist` and `cifar10` when left out. */
  test: dataSchema.optional(),
  /** Names of the classes 0, 1, …; when left out those of the set, or the labels themselves. */
  classNames: z.array(z.string().min(1).max(200)).min(2).max(256).refine((names) => new Set(names).size === names.length, 'every class has a name of its own').optional(),
  network: networkSchema,
  training: z.strictObject({ ...trainingFields, learningRate: positive.default(1e-3), ema: trainingFields.ema.default(0.99) }),
  /** Adversarially robust training: every batch is moved by projected gradient ascent of the loss first. */
  attack: attackSchema.optional(),
  evaluation: z.strictObject({
    /** Iterations between tests; the last is always followed by one. 0: only that one. */
    every: z.int().min(0).default(0),
    /** Images of the test set that are tested under attack. */
    attacked: z.int().min(0).default(1000),
    /** Attack of the test; that of the training with 20 steps when left out, or radius 2. */
    attack: attackSchema.optional(),
  }).prefault({}),
  /** Whether the exported network has the features of its last but one layer as a second output. */
  features: z.boolean().default(true),
});

/** A complete, valid configuration of a classifier's run. */
export type ClassifierConfig = z.infer<typeof classifierConfigSchema>;
export type RunConfig = TrainingConfig | ClassifierConfig;
