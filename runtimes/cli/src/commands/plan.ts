/** `ratioflow plan`: what a training run takes, before anything is spent. */
import { Command } from 'commander';
import type { ClassifierConfig, ClassifierPlan, MeasuredSpeed, TrainingConfig, TrainingPlan } from '@ratioflow/trainer';
import type { Context } from '../context.js';
import { integerFrom } from '../parsers.js';
import { withSettings } from '../set-option.js';
import { bytes, duration, table } from '../text.js';

interface Options {
  readonly set: string[];
  readonly trial: number;
  readonly compare: boolean;
  readonly json?: boolean;
}

export const planCommand = (context: Context): Command => withSettings(new Command('plan'))
  .description('parameters, operations, memory, disk and hours of a training run, measured by a few trial steps on this machine')
  .argument('<config.yaml>', 'what would be trained')
  .option('--trial <steps>', 'flow steps that are timed at least; 0 measures nothing', integerFrom(0), 3)
  .option('--no-compare', 'leave out the trials with the other engine of the flow and the other backend')
  .option('--json', 'print the plan as JSON')
  .action(async (path: string, { set, trial, compare, json }: Options) => {
    const { hoursWith, loadRunConfig, planClassifier, planTraining } = await import('@ratioflow/trainer');
    const config = await loadRunConfig(path, set);
    const options = { trialSteps: trial, compare, signal: context.signal };
    const print = <P>(plan: P, describe: (plan: P) => [string, string][]): void => {
      for (const line of json ? [JSON.stringify(plan, null, 2)] : table(describe(plan))) context.print(line);
    };
    if (config.kind === 'classifier') print(await planClassifier(config, options), (plan) => describeClassifier(config, plan));
    else print(await planTraining(config, options), (plan) => describeEstimator(config, plan, hoursWith));
  });

const power = (count: number): string => {
  const units = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
  let unit = 0;
  for (; count >= 1000 && unit < units.length - 1; unit++) count /= 1000;
  return `${count.toPrecision(3)} ${units[unit]!}`.trim();
};
const time = (hours: number): string => (hours >= 1 ? `${hours.toFixed(1)} hours` : duration(hours * 3_600_000));

function describeEstimator(config: TrainingConfig, plan: TrainingPlan, hoursWith: (config: TrainingConfig, measured: MeasuredSpeed, change: { K?: number; batch?: number }) => number): [string, string][] {
  const { training, flow } = config;
  const { measured } = plan;
  return [
    ['estimator', `${config.estimator.name} on [${plan.sampleShape.join(', ')}], ${power(plan.parameters)} parameters`],
    ['operations', `${power(plan.forwardMacs)}MAC forward, ${power(plan.gradientMacs)}MAC with its input gradient, a sample`],
    ['', `${power(plan.flopsPerIteration)}FLOP an iteration (batch ${training.batch}, K = ${flow.K}), ${power(plan.flopsPerSample)}FLOP a generated sample`],
    memoryOf(plan),
    ['disk', `${bytes(plan.checkpointBytes)} of checkpoints, ${bytes(plan.bundleBytes)} of bundle${plan.priorBytes > 0 ? `, whose prior takes ${bytes(plan.priorBytes)} or less` : ''}`],
    ...(measured ? [
      ['measured', `flow step ${duration(measured.millisecondsPerFlowStep)} (${measured.flow}), learning step ${duration(measured.millisecondsPerLearningStep)} (${measured.learning})`],
      residentOf(measured, training.batch),
      ['expected', `${time(measured.hours)} for ${training.iterations} iterations, previews and the first pass over the data not counted`],
      ...[['K', Math.ceil(flow.K / 2)], ['K', 2 * flow.K], ['batch', Math.ceil(training.batch / 2)], ['batch', 2 * training.batch]].map(([field, value]): [string, string] =>
        ['', `${time(hoursWith(config, measured, { [field as string]: value as number }))} with ${field!} = ${value!}, if time is proportional`]),
      ...alternativesOf(measured),
    ] satisfies [string, string][] : []),
  ];
}

function describeClassifier({ network, training, attack }: ClassifierConfig, plan: ClassifierPlan): [string, string][] {
  const { measured } = plan;
  return [
    ['classifier', `${network.name} on [${plan.sampleShape.join(', ')}], ${plan.classes} classes, ${power(plan.parameters)} parameters`],
    ['operations', `${power(plan.forwardMacs)}MAC forward, a sample`],
    ['', `${power(plan.flopsPerIteration)}FLOP an iteration (batch ${training.batch}${attack ? `, attacked in ${attack.steps} steps` : ''})`],
    memoryOf(plan),
    ['disk', `${bytes(plan.checkpointBytes)} of checkpoints, ${bytes(plan.modelBytes)} of classifier.onnx`],
    ...(measured ? [
      ['measured', `learning step ${duration(measured.millisecondsPerLearningStep)}${attack ? ', its attack included' : ''} (${measured.learning})`],
      residentOf(measured, training.batch),
      ['expected', `${time(measured.hours)} for ${training.iterations} iterations, tests and the first pass over the data not counted`],
      ...alternativesOf(measured),
    ] satisfies [string, string][] : []),
  ];
}

type Measured = Pick<MeasuredSpeed, 'residentBytes' | 'trialBatch' | 'alternatives'>;

const memoryOf = ({ weightBytes, activationBytes }: Pick<TrainingPlan, 'weightBytes' | 'activationBytes'>): [string, string] =>
  ['memory', `${bytes(weightBytes)} of weights and their moments, ${bytes(activationBytes)} of values in a learning step`];
const residentOf = ({ residentBytes, trialBatch }: Measured, batch: number): [string, string] =>
  ['', `resident ${bytes(residentBytes)}, and more with data, previews and export${trialBatch < batch ? `; trials had ${trialBatch} samples, times are in proportion` : ''}`];
const alternativesOf = ({ alternatives }: Measured): [string, string][] => alternatives.map((other) =>
  ['', 'hours' in other ? `${time(other.hours)} with ${other.setting}` : `${other.setting} does not work here: ${other.failure}`]);
