/** Parts of a training run, and exactly the numbers that its iterations see, for implementations to be compared with. */
import { createRuntime } from '@ratioflow/node';
import { normals, purposes, trainingSeed } from '@ratioflow/sdk';
import { parseConfig } from '../../trainer/src/config/load.js';
import { addDequantisation } from '../../trainer/src/data/dequantisation.js';
import { assemble, type Assembly } from '../../trainer/src/run/assemble.js';
import { train, type IterationMetrics } from '../../trainer/src/loop/train.js';

/** An assembled run of a configuration in YAML. The caller disposes of it. */
export const assembleRun = (yaml: string, overrides: readonly string[] = []): Promise<Assembly> => assemble(parseConfig(yaml, 'test', overrides), createRuntime());

/** Runs iterations 0 … count − 1. */
export async function iterate(run: Assembly, count: number): Promise<IterationMetrics[]> {
  const metrics: IterationMetrics[] = [];
  for await (const one of train(run, 0, count)) metrics.push(one);
  return metrics;
}

/** What iteration t draws, in C order: x_p (with its noise) and x₀ [N, …], ξ [K, N, …]. */
export interface Draws {
  readonly data: Float32Array;
  readonly x0: Float32Array;
  readonly noise: Float32Array;
}

/** The numbers of iteration t, from the noise specification, without the training loop. */
export async function drawsOf({ config, dataset, prior }: Assembly, t: number): Promise<Draws> {
  const count = config.training.batch;
  const elements = dataset.sampleShape.reduce((a, b) => a * b, 1);
  const draw = { seed: config.seed, iteration: t, count };
  const data = new Float32Array(count * elements);
  await dataset.batch(data, draw);
  addDequantisation(data, draw, config.training.dequantisation);
  const seed = trainingSeed(config.seed, t);
  const x0 = new Float32Array(count * elements);
  prior.draw(x0, { seed, count });
  const noise = new Float32Array(config.flow.K * count * elements);
  for (let k = 0; k < config.flow.K; k++) noise.set(normals({ seed, purpose: purposes.flow, step: k, count, elements }), k * count * elements);
  return { data, x0, noise };
}

/** The network's weights by name, in tfjs's layout. */
export const weightsOf = ({ network }: Assembly): Map<string, { shape: number[]; data: Float32Array }> =>
  new Map(network.weights.map((weight) => [weight.originalName, { shape: weight.shape as number[], data: Float32Array.from(weight.read().dataSync<'float32'>()) }]));
