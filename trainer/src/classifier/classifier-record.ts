/** How the record of a classifier's run shows it. */
import type { Runtime } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import type { LoadedTensorFlow } from '../backend/load-tensorflow.js';
import type { ClassifierConfig } from '../config/schema.js';
import type { Dataset } from '../data/dataset.js';
import { parametersOf } from '../estimators/spectral.js';
import { colours } from '../pictures/theme.js';
import { mean, recentRows } from '../report/run-report.js';
import { describeData } from '../run/estimator-record.js';
import type { RecordSubject } from '../run/run-record.js';
import { versions } from '../run/versions.js';
import type { Evaluation } from './evaluate.js';
import { classifierColumns, type ClassifierMetrics } from './train-classifier.js';

export interface ClassifierFacts {
  readonly config: ClassifierConfig;
  readonly dataset: Dataset;
  /** Set for testing. */
  readonly test: Dataset | null;
  /** Names of the classes. */
  readonly names: readonly string[];
  readonly network: LayersModel;
  readonly tensorflow: LoadedTensorFlow;
}

/** @param latest the last test of the run, if there was one yet */
export function classifierRecord({ config, dataset, test, names, network, tensorflow }: ClassifierFacts, runtime: Runtime, latest: () => Evaluation | null): RecordSubject<ClassifierMetrics> {
  const { attack } = config;
  const percent = (part: number): string => `${(100 * part).toFixed(2)} %`;
  return {
    config, columns: classifierColumns,
    scalars: ({ accuracy }) => ({ accuracy }),
    curve: {
      title: `Cross entropy and accuracy${attack ? ' under attack' : ''}, on batches of the training`,
      panels(rows) {
        const x = rows.map(({ iteration }) => iteration);
        return [
          { label: 'cross entropy', series: [{ name: 'cross entropy', colour: colours.single, x, y: rows.map(({ loss }) => loss) }], reference: { value: Math.log(names.length), label: 'a guess' } },
          { label: 'accuracy', series: [{ name: 'accuracy', colour: colours.line, x, y: rows.map(({ accuracy }) => accuracy) }], reference: { value: 1, label: '' } },
        ];
      },
    },
    facts: [
      ['data', describeData(dataset)],
      ['test', test ? describeData(test) : 'none'],
      ['classes', names.join(', ')],
      ['network', `${config.network.name}, ${parametersOf(network).toLocaleString('en')} parameters`],
      ...(attack ? [['attack', `${attack.steps} steps, L2 radius ${attack.radius}`] as const] : []),
    ],
    versions: versions(tensorflow, runtime),
    figures(rows) {
      const tested = latest();
      return [
        { label: 'Accuracy', value: percent(mean(recentRows(rows), ({ accuracy }) => accuracy)), note: `on batches of the training${attack ? ', under attack' : ''}` },
        ...(tested ? [{ label: 'Accuracy of the test', value: percent(tested.accuracy), note: `${tested.count.toLocaleString('en')} images, averaged weights` }] : []),
        ...(tested?.underAttack ? [{ label: 'The same under attack', value: percent(tested.underAttack.accuracy), note: `L2 radius ${tested.underAttack.attack.radius}, ${tested.underAttack.count.toLocaleString('en')} images` }] : []),
      ];
    },
  };
}
