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

export const trainingConfigSchema = z.strictObject({
  /** Name of the run and of its bundle. */
  name: z.string().regex(/^[\w.-]{1,100}$/, 'letters, digits, ".", "_" and "-"'),
  /** Everything random follows from it. */
  seed: seed.default('42'),
  data: z.strictObject({
    name: z.enum(datasetNames),
    /** Part of a set that has parts. */
    split: z.enum(splits).optional(),
    /** Folder of the set's files, where it is not the one of a package. */
    folder: z.string().optional(),
    /** Of `gaussian`: its mean and variance (times the identity). */
    mean: z.array(z.number()).optional(),
    variance: positive.optional(),
  }),
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
