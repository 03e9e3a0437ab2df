/**
 * The density chasm (arXiv 2303.03714, section 3.1, figures 2 and 4): particles from q = N(0, 0.1 I) flow towards p. An
 * estimator trained once between q and p suffices for a near p, fails for a far one; trained on its own flow it gets across.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createRuntime, writeFileAtomic } from '@ratioflow/node';
import { validateConfig } from '../config/load.js';
import type { TrainingConfig } from '../config/schema.js';
import { drawPrior, train, type IterationMetrics } from '../loop/train.js';
import { fieldPlot, particlePanels } from '../pictures/plane-plots.js';
import type { Scene } from '../pictures/scene.js';
import { squareAround } from '../pictures/points.js';
import { assemble, type Assembly } from '../run/assemble.js';
import { memoryModel } from '../run/memory-model.js';
import { progressMeter } from '../run/progress.js';
import { bundleOf } from '../run/run-bundle.js';
import type { DemoOptions, DemoResult } from './demo.js';
import { fieldOf } from './field.js';

const variance = 0.1;
const near = { distance: 1, steps: 15 };
const far = { distance: 6, steps: 400 };
const particleCount = 512;
/** Iterations at which figure 4 looks at the particles; the last one is the end of training. */
const moments = [10, 40];
const pathFrames = 40;

interface Experiment {
  readonly config: TrainingConfig;
  /** Steps of the flow that moves the particles. */
  readonly steps: number;
}

/**
 * The paper does not state its step size. A stale estimator of distance 1 has a gradient of about 10 everywhere, so 15 steps
 * of 0.01 end at p; flow-guided training finds its own gradient, and ten times the step gets it across within 1,000 iterations.
 */
function experiment(distance: number, steps: number, flowGuided: boolean, { seed = '42', iterations = 1000 }: DemoOptions): Experiment {
  const config = validateConfig({
    name: 'chasm',
    seed,
    data: { name: 'gaussian', mean: [distance, distance], variance },
    estimator: { name: 'mlp' },
    pairing: 'lr-kl',
    prior: { kind: 'gaussian', deviation: Math.sqrt(variance) },
    // A stale estimator sees the prior itself: no bridging step.
    flow: { K: flowGuided ? steps : 0, eta: flowGuided ? 0.1 : 0.01, nu: 0.01 },
    training: { iterations, batch: 256, learningRate: 5e-4, ema: 0, dequantisation: 0 },
  });
  return { config, steps };
}

/** Particles after the flow, [N, 2], and the path of their mean. */
interface Flowed {
  readonly particles: Float32Array;
  readonly path: Float32Array;
}

async function flowParticles(assembly: Assembly, steps: number): Promise<Flowed> {
  await assembly.bridge.refresh();
  const x0 = await drawPrior(assembly, 0n, particleCount);
  // The same flow to several lengths: its noise is keyed by step, so that each is a continuation of the one before.
  const path: number[] = [...mean(x0)];
  let particles = x0;
  const frames = Math.min(pathFrames, steps);
  for (let frame = 1; frame <= frames; frame++) {
    particles = await assembly.bridge.run(x0, { count: particleCount, steps: Math.round((steps * frame) / frames), seed: 0n });
    path.push(...mean(particles));
  }
  return { particles, path: Float32Array.from(path) };
}

function mean(points: Float32Array): [number, number] {
  let [x, y] = [0, 0];
  for (let i = 0; i < points.length; i += 2) [x, y] = [x + points[i]!, y + points[i + 1]!];
  return [(2 * x) / points.length, (2 * y) / points.length];
}

async function dataOf({ dataset }: Assembly): Promise<Float32Array> {
  const data = new Float32Array(2 * particleCount);
  await dataset.batch(data, { seed: 0n, iteration: 0, count: particleCount });
  return data;
}

/** Root mean square distance of the particles from the centre of p; about √0.2 = 0.45 where they follow p. */
function spreadAround(particles: Float32Array, distance: number): number {
  let sum = 0;
  for (const value of particles) sum += (value - distance) ** 2;
  return Math.sqrt((2 * sum) / particles.length);
}

/** Reproduces figures 2 and 4; takes about a minute. */
export async function chasmDemo(options: DemoOptions): Promise<DemoResult> {
  const { out, signal, onProgress } = options;
  await mkdir(out, { recursive: true });
  // Networks this small gain nothing from a second thread.
  const runtime = createRuntime({ threads: 1 });
  const findings: string[] = [];
  const plan = [experiment(near.distance, near.steps, false, options), experiment(far.distance, far.steps, false, options), experiment(far.distance, far.steps, true, options)] as const;
  const measure = progressMeter<IterationMetrics>(plan.reduce((sum, { config }) => sum + config.training.iterations, 0));
  let done = 0;

  const learn = async ({ config, steps }: Experiment, look: (iteration: number, flowed: Flowed, assembly: Assembly) => void | Promise<void>, at: readonly number[]): Promise<void> => {
    const assembly = await assemble(config, runtime);
    try {
      for await (const metrics of train(assembly, 0, config.training.iterations, signal)) {
        onProgress?.(measure(metrics, ++done));
        if (at.includes(metrics.iteration)) await look(metrics.iteration, await flowParticles(assembly, steps), assembly);
      }
    } finally {
      await assembly.dispose();
    }
  };
  const conclude = (name: string, particles: Float32Array, distance: number): void => {
    const [x, y] = mean(particles);
    findings.push(`${name}: particles end at mean (${x.toFixed(2)}, ${y.toFixed(2)}), the target is (${distance}, ${distance}); root mean square distance ${spreadAround(particles, distance).toFixed(2)}, of p itself ${Math.sqrt(2 * variance).toFixed(2)}.`);
  };

  const stale: (Scene & { title: string })[] = [];
  for (const [index, { distance, steps }] of [near, far].entries()) {
    await learn(plan[index]!, async (_, { particles, path }, assembly) => {
      stale.push({ title: `stale estimator, distance ${distance}, ${steps} steps`, data: await dataOf(assembly), particles, trajectory: path });
      conclude(`Stale estimator, distance ${distance}`, particles, distance);
    }, [plan[index]!.config.training.iterations]);
  }

  const guided: (Scene & { title: string })[] = [];
  const last = plan[2].config.training.iterations;
  const staleFile = join(out, 'stale.png');
  await writeFileAtomic(staleFile, (await particlePanels({ title: 'An estimator trained once, between q and p', panels: stale })).png);
  const guidedFile = join(out, 'flow-guided.png');
  const fieldFile = join(out, 'field.png');
  await learn(plan[2], async (iteration, { particles, path }, assembly) => {
    const data = await dataOf(assembly);
    guided.push({ title: `FDRL after ${iteration} iterations`, data, particles, trajectory: path });
    if (iteration !== last) return;
    conclude('FDRL, distance 6', particles, far.distance);
    const model = await memoryModel(await bundleOf(assembly, iteration, runtime, { generator: false }), runtime);
    try {
      const extent = squareAround(data, particles, await drawPrior(assembly, 0n, particleCount));
      const picture = await fieldPlot({ title: 'The estimator after training', ...(await fieldOf(model, extent)), extent, data, particles, trajectory: path });
      await writeFileAtomic(fieldFile, picture.png);
    } finally {
      await model.dispose();
    }
  }, [...moments, last]);
  await writeFileAtomic(guidedFile, (await particlePanels({ title: 'An estimator trained on its own flow', panels: guided })).png);
  return {
    findings,
    files: [
      { path: staleFile, about: 'a stale estimator suffices at distance 1 and fails at distance 6' },
      { path: guidedFile, about: `FDRL at iterations ${[...moments, last].join(', ')}, with the path of the particles' mean` },
      { path: fieldFile, about: 'log-ratio field and drift of the trained estimator' },
    ],
  };
}

