/** The quick start: handwritten digits from training to pictures. */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { filmStrip, open, saveFilm, savePng } from '@ratioflow/node';
import { loadConfig } from '../config/load.js';
import { TrainingError } from '../errors.js';
import { startRun } from '../run/run-training.js';
import type { DemoOptions, DemoResult } from './demo.js';

const configFile = fileURLToPath(new URL('../../configs/digits.yaml', import.meta.url));
const count = 64;
const sampleSeed = 2303;

/** Trains on the 60,000 digits, exports, verifies the bundle, and samples it through the SDK. */
export async function digitsDemo(options: DemoOptions): Promise<DemoResult> {
  const { out, seed, iterations, signal, onMessage } = options;
  const config = await loadConfig(configFile, [
    ...(seed === undefined ? [] : [`seed=${seed}`]),
    // A longer run takes its last, smaller steps later.
    ...(iterations === undefined ? [] : [`training.iterations=${iterations}`, `training.decayAt=[${Math.ceil((iterations * 5) / 6)}]`]),
  ]);
  const { bundle } = await startRun(config, options);
  const model = await open(bundle);
  try {
    const verification = await model.verify();
    if (!verification.passed) throw new TrainingError(`The bundle ${bundle} does not reproduce its verification vectors on this machine: run \`ratioflow verify ${bundle}\` to see which.`);
    onMessage?.('The bundle reproduces its verification vectors. Sampling.');
    const files = { grid: join(out, 'digits.png'), film: join(out, 'film.png') };
    const { samples, statistics } = await model.sample({ count, seed: sampleSeed, ...(signal && { signal }) });
    await savePng(files.grid, samples, { scale: 3 });
    await saveFilm(files.film, await filmStrip(model, { count: 8, seed: sampleSeed, ...(signal && { signal }) }), { scale: 2 });
    return {
      findings: [`${count} digits in ${(statistics.milliseconds / 1000).toFixed(1)} s on ${statistics.provider} of ${statistics.runtime}: ${statistics.steps} steps of ${statistics.millisecondsPerStep.toFixed(1)} ms.`],
      files: [
        { path: files.grid, about: `${count} digits that did not exist before` },
        { path: files.film, about: 'the flow, from the prior to the digit' },
        { path: join(out, 'curve.png'), about: 'loss and mean log ratios' },
        { path: bundle, about: 'the bundle' },
      ],
    };
  } finally {
    await model.dispose();
  }
}
