#!/usr/bin/env node
/** `npx ratioflow-tensorflow`: native TensorFlow for an installed @ratioflow/trainer, as set-up does it in a clone (docs/setup.md). */
import { dirname } from 'node:path';
import { installTensorFlow } from './install.mjs';
import { SetupProblem } from './tools.mjs';

const help = `npx ratioflow-tensorflow [option]
  gives @ratioflow/trainer the native library of TensorFlow; nothing is done twice
  --cpu       TensorFlow's CPU build (274 MB), the default
  --cuda      its CUDA build, for NVIDIA GPUs (about 3 GB)
  --portable  takes it away again: training runs on WebAssembly`;

const [option = '--cpu', ...more] = process.argv.slice(2);
if (more.length > 0 || !['--cpu', '--cuda', '--portable', '--help', '-h'].includes(option)) {
  console.error(`unknown: ${[option, ...more].join(' ')}\n${help}`);
  process.exitCode = 2;
} else if (option === '--help' || option === '-h') {
  console.log(help);
} else {
  try {
    const { description } = await installTensorFlow({ from: dirname(import.meta.dirname), flavour: option.slice(2), log: (line) => console.error(line) });
    console.log(`TensorFlow is ready: ${description}`);
  } catch (error) {
    if (!(error instanceof SetupProblem)) throw error;
    console.error(`${error.message}.\nWhat to do: ${error.remedy}.`);
    process.exitCode = 1;
  }
}
