/** Every command, in the order of the help. A new one is a file in this folder and a line here. */
import type { Command } from 'commander';
import type { Context } from '../context.js';
import { composeCommand } from './compose.js';
import { convertCommand } from './convert.js';
import { demoCommand } from './demo.js';
import { doctorCommand } from './doctor.js';
import { evaluateCommand } from './evaluate.js';
import { exportCommand } from './export.js';
import { gradientCommand } from './gradient.js';
import { importCommand } from './import.js';
import { inspectCommand } from './inspect.js';
import { interpolateCommand } from './interpolate.js';
import { neighboursCommand } from './neighbours.js';
import { planCommand } from './plan.js';
import { sampleCommand } from './sample.js';
import { scoreCommand } from './score.js';
import { trainCommand } from './train.js';
import { translateCommand } from './translate.js';
import { verifyCommand } from './verify.js';

export const commands: readonly ((context: Context) => Command)[] = [
  trainCommand,
  planCommand,
  exportCommand,
  importCommand,
  convertCommand,
  gradientCommand,
  composeCommand,
  sampleCommand,
  interpolateCommand,
  translateCommand,
  evaluateCommand,
  scoreCommand,
  neighboursCommand,
  verifyCommand,
  inspectCommand,
  demoCommand,
  doctorCommand,
];
