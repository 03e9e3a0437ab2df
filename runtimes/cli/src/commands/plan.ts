/** `ratioflow plan`: what a training run takes, before anything is spent. */
import { Command } from 'commander';
import type { MeasuredSpeed, TrainingConfig, TrainingPlan } from '@ratioflow/trainer';
import type { Context } from '../context.js';
import { integerFrom } from '../parsers.js';
import { bytes, duration, table } from '../text.js';

interface Options {
  readonly set: string[];
  readonly trial: number;
  readonly compare: boolean;
  readonly json?: boolean;
}

export const planCommand = (context: Context): Command => new Command('plan')
  .description('parameters, operations, memory, disk and hours of a training run, measured by a few trial steps on this machine')
  .argument('<config.yaml>', 'what would be trained')
  .option('--set <key=value>', 'change a field of the configuration; may be repeated', (value: string, list: string[]) => [...list, value], [])
  .option('--trial <steps>', 'flow steps that are timed; 0 measures nothing', integerFrom(0), 3)
  .option('--no-compare', 'leave out the trials with the other engine of the flow and the other backend')
  .option('--json', 'print the plan as JSON')
  .action(async (path: string, { set, trial, compare, json }: Options) => {
    const { hoursWith, loadConfig, planTraining } = await import('@ratioflow/trainer');
    const config = await loadConfig(path, set);
    const plan = await planTraining(config, { trialSteps: trial, compare, signal: context.signal });
    for (const line of json ? [JSON.stringify(plan, null, 2)] : describe(config, plan, hoursWith)) context.print(line);
  });

const power = (count: number): string => {
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  let unit = 0;
  for (; count >= 1000 && unit < units.length - 1; unit++) count /= 1000;
  return `${count.toPrecision(3)} ${units[unit]!}`.trim();
};
const time = (hours: number): string => (hours >= 1 ? `${hours.toFixed(1)} hours` : duration(hours * 3_600_000));

function describe(config: TrainingConfig, plan: TrainingPlan, hoursWith: (config: TrainingConfig, measured: MeasuredSpeed, change: { K?: number; batch?: number }) => number): string[] {
  const { training, flow } = config;
  const { measured } = plan;
  const rows: [string, string][] = [
    ['estimator', `${config.estimator.name} on [${plan.sampleShape.join(', ')}], ${power(plan.parameters)} parameters`],
    ['operations', `${power(plan.forwardMacs)}MAC forward, ${power(plan.gradientMacs)}MAC with its input gradient, a sample`],
    ['', `${power(plan.flopsPerIteration)}FLOP an iteration (batch ${training.batch}, K = ${flow.K}), ${power(plan.flopsPerSample)}FLOP a generated sample`],
    ['memory', `${bytes(plan.weightBytes)} of weights and their moments, ${bytes(plan.activationBytes)} of values in a learning step`],
    ['disk', `${bytes(plan.checkpointBytes)} of checkpoints, ${bytes(plan.bundleBytes)} or less of bundle`],
  ];
  if (measured) {
    rows.push(
      ['measured', `flow step ${duration(measured.millisecondsPerFlowStep)} (${measured.flow}), learning step ${duration(measured.millisecondsPerLearningStep)} (${measured.learning})`],
      ['', `resident ${bytes(measured.residentBytes)} without data${measured.trialBatch < training.batch ? `; trials had ${measured.trialBatch} samples, times are in proportion` : ''}`],
      ['expected', `${time(measured.hours)} for ${training.iterations} iterations, previews and the first pass over the data not counted`],
      ...[['K', Math.ceil(flow.K / 2)], ['K', 2 * flow.K], ['batch', Math.ceil(training.batch / 2)], ['batch', 2 * training.batch]].map(([field, value]): [string, string] =>
        ['', `${time(hoursWith(config, measured, { [field as string]: value as number }))} with ${field!} = ${value!}, if time is proportional`]),
      ...measured.alternatives.map((other): [string, string] => ['', 'hours' in other ? `${time(other.hours)} with ${other.setting}` : `${other.setting} does not work here: ${other.failure}`]),
    );
  }
  return table(rows);
}
