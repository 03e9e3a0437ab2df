/** The curve of an estimator's run: loss, and the mean log ratio on both sides of the estimator. */
import type { Panel } from './line-chart.js';
import { colours } from './theme.js';

/** What a run recorded, one value per recorded iteration. */
export interface TrainingCurve {
  readonly iterations: ArrayLike<number>;
  readonly loss: ArrayLike<number>;
  /** Mean log q/p on the data; falls below 0 when the estimator tells them apart. */
  readonly logRatioData: ArrayLike<number>;
  /** Mean log q/p on the transported samples. */
  readonly logRatioSamples: ArrayLike<number>;
  /** Loss of an estimator that cannot tell them apart: 2 log 2 for the logistic loss, −½ for LSIF. @default no line */
  readonly balancedLoss?: number;
}

/** Panels of a line chart. */
export function trainingPanels({ iterations: x, loss, logRatioData, logRatioSamples, balancedLoss }: TrainingCurve): Panel[] {
  const lossPanel: Panel = { label: 'loss', series: [{ name: 'loss', colour: colours.single, x, y: loss }] };
  return [
    balancedLoss === undefined ? lossPanel : { ...lossPanel, reference: { value: balancedLoss, label: 'samples = data' } },
    {
      label: 'mean log q/p',
      series: [
        { name: 'on samples', colour: colours.samples, x, y: logRatioSamples },
        { name: 'on data', colour: colours.line, x, y: logRatioData },
      ],
      reference: { value: 0, label: '' },
    },
  ];
}
