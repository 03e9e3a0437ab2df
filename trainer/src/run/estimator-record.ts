/** How the record of an estimator's run shows it. */
import type { Runtime } from '@ratioflow/sdk';
import { sampleLength, type Dataset } from '../data/dataset.js';
import { parametersOf } from '../estimators/spectral.js';
import { iterationColumns, type IterationMetrics } from '../loop/train.js';
import { balancedLoss } from '../objective/objective.js';
import { trainingPanels } from '../pictures/training-curve.js';
import { mean, medianTime, recentRows } from '../report/run-report.js';
import type { Assembly } from './assemble.js';
import type { RecordSubject } from './run-record.js';
import { versions } from './versions.js';

export function estimatorRecord({ config, dataset, source, network, prior, pairing, tensorflow }: Omit<Assembly, 'dispose'>, runtime: Runtime): RecordSubject<IterationMetrics> {
  const { training, flow } = config;
  return {
    config, columns: iterationColumns,
    parts: { flowMilliseconds: 'the flow' },
    scalars: (row) => ({ 'log_ratio/data': row.logRatioData, 'log_ratio/samples': row.logRatioSamples, 'milliseconds/flow': row.flowMilliseconds }),
    curve: {
      title: 'Loss and mean log ratios',
      panels: (rows) => trainingPanels({
        iterations: rows.map(({ iteration }) => iteration), loss: rows.map(({ loss }) => loss), balancedLoss: balancedLoss(pairing),
        logRatioData: rows.map(({ logRatioData }) => logRatioData), logRatioSamples: rows.map(({ logRatioSamples }) => logRatioSamples),
      }),
    },
    facts: [
      ['data', describeData(dataset)],
      ...(source ? [['source', `${source.name}, ${source.size?.toLocaleString('en') ?? 'many'} samples`] as const] : []),
      ['estimator', `${config.estimator.name}, ${parametersOf(network).toLocaleString('en')} parameters`],
      ['prior', prior.state.kind === 'ddp-low-rank' ? `ddp of rank ${prior.state.gains.length} of ${sampleLength(dataset.sampleShape)}` : prior.kind],
    ],
    versions: versions(tensorflow, runtime),
    figures(rows) {
      const recent = recentRows(rows);
      const flowTime = mean(rows, (row) => row.flowMilliseconds) / mean(rows, (row) => row.milliseconds);
      return [
        { label: 'Log ratio on data', value: mean(recent, (row) => row.logRatioData).toFixed(3) },
        { label: 'Log ratio on samples', value: mean(recent, (row) => row.logRatioSamples).toFixed(3) },
        { label: 'Flow', value: `${Math.round(100 * flowTime)} %`, note: 'of the time' },
        { label: 'Samples moved', value: Math.round((1000 * training.batch * flow.K) / medianTime(rows)).toLocaleString('en'), note: 'through a flow step, a second' },
      ];
    },
  };
}

/** Name, number and shape of the samples of a set. */
export const describeData = ({ name, size, sampleShape }: Pick<Dataset, 'name' | 'size' | 'sampleShape'>): string =>
  `${name}: ${size === null ? 'samples' : `${size.toLocaleString('en')} samples`} of [${sampleShape.join(', ')}]${size === null ? ', drawn afresh' : ''}`;
