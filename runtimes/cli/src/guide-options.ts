/** Options of every command that takes a classifier as a guide. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { ArgumentError } from '@ratioflow/sdk';
import type { ClassifierOptions, ComposeOptions } from '@ratioflow/export';
import { finiteNumber, range, rangeOf, type RangeFlag } from './parsers.js';

/** The options as commander gives them. */
export interface GuideFlags {
  readonly guide?: string;
  readonly guideOutput?: string;
  readonly probabilities?: boolean;
  readonly guideRange?: RangeFlag;
  readonly mean?: number[];
  readonly std?: number[];
  readonly guideSize?: readonly [number, number];
  readonly scale?: number;
}

function imageSize(text: string): readonly [number, number] {
  const [height, width, ...rest] = text.split(',').map(Number);
  if (!/^\d+,\d+$/.test(text) || !height || !width || rest.length > 0) throw new InvalidArgumentError('Allowed: HEIGHT,WIDTH, such as 32,32.');
  return [height, width];
}

const numberList = (text: string): number[] => text.split(',').map(finiteNumber);

/** Adds --guide and what belongs to it to a command. */
export const withGuideOptions = (command: Command): Command => command
  .option('--guide <classifier.onnx>', 'add scale times the gradient of log p(class|x) of this classifier to the drift')
  .option('--guide-output <name>', 'output of the classifier (default: what its metadata say, or the only one)')
  .option('--probabilities', 'that output holds probabilities (default: logits or log probabilities)')
  .option('--guide-range <low,high>', 'range of values that the classifier wants before mean and std, or none: the bundle\'s values as they are (default: what its metadata say, or 0,1)', range)
  .option('--guide-size <height,width>', 'size of the images that the classifier wants, where its input leaves it open (default: the samples\' own)', imageSize)
  .option('--mean <list>', 'subtracted from each channel: one number, or one per channel, with commas (default: 0)', numberList)
  .option('--std <list>', 'divides each channel after that (default: 1)', numberList)
  .option('--scale <phi>', 'scale of the guidance (default: 0.1, or that of a bundle that is guided already)', finiteNumber);

/** What they ask of the exporter; undefined without a guide. @throws {ArgumentError} for options of a guide that is not there */
export async function guideOf({ guide, guideOutput, probabilities, guideRange, guideSize, mean, std }: GuideFlags): Promise<ComposeOptions['guide'] | undefined> {
  if (guide === undefined) {
    const alone = Object.entries({ '--guide-output': guideOutput, '--probabilities': probabilities, '--guide-range': guideRange, '--guide-size': guideSize, '--mean': mean, '--std': std }).find(([, value]) => value !== undefined);
    if (alone) throw new ArgumentError(`${alone[0]} says how a classifier is read or fed: give --guide classifier.onnx, too.`);
    return undefined;
  }
  const { readModelFile } = await import('@ratioflow/export');
  const options: ClassifierOptions = {
    ...(guideOutput !== undefined && { output: guideOutput }), ...(probabilities && { kind: 'probabilities' }), ...(guideRange !== undefined && { inputRange: rangeOf(guideRange) }), ...(guideSize && { size: guideSize }),
    ...(mean && { mean }), ...(std && { std }),
  };
  return { model: await readModelFile(guide), ...options };
}
