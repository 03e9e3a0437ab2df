/** Every command, in the order of the help. A new one is a file in this folder and a line here. */
import type { Command } from 'commander';
import type { Context } from '../context.js';
import { doctorCommand } from './doctor.js';
import { inspectCommand } from './inspect.js';
import { sampleCommand } from './sample.js';
import { verifyCommand } from './verify.js';

export const commands: readonly ((context: Context) => Command)[] = [
  sampleCommand,
  verifyCommand,
  inspectCommand,
  doctorCommand,
];
