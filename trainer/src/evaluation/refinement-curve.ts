/** The effect of refinement (κ, arXiv 2303.03714, section 5.4) on the figures of a bundle's samples: a row for each κ, and a picture. */
import { ArgumentError } from '@ratioflow/sdk';
import { lineChart } from '../pictures/line-chart.js';
import { colours } from '../pictures/theme.js';
import { evaluateEach, type EvaluateOptions, type Evaluation } from './evaluate.js';

/** Figures of the samples after so many refinement steps. */
export interface RefinementPoint {
  readonly kappa: number;
  readonly evaluation: Evaluation;
}

/**
 * Evaluates a bundle's samples after each κ. They are drawn once and looked at on their way: the points differ by their steps alone.
 * The features of all points are in memory together (8 KB for each sample and point at 2,048 features).
 * @param kappas two or more, rising
 * @throws {ArgumentError} for others; as `evaluate`
 */
export async function refinementCurve(kappas: readonly number[], options: EvaluateOptions): Promise<RefinementPoint[]> {
  if (kappas.length < 2 || !kappas.every((kappa, i) => Number.isSafeInteger(kappa) && kappa >= 0 && (i === 0 || kappa > kappas[i - 1]!))) {
    throw new ArgumentError(`The refinement steps of a curve are ${kappas.join(', ')}; allowed: two or more integers from 0, rising.`);
  }
  if (options.reference === undefined) throw new ArgumentError('A curve of distances needs a reference: give one.');
  if (options.save !== undefined) throw new ArgumentError('Statistics are saved of one number of refinement steps, not of a curve.');
  return (await evaluateEach(options, kappas)).map((evaluation, i) => ({ kappa: kappas[i]!, evaluation }));
}

/** The distance, and precision and recall where there are, over κ; PNG. */
export async function refinementPicture(points: readonly RefinementPoint[], subtitle: string): Promise<Uint8Array> {
  const x = points.map(({ kappa }) => kappa);
  const figure = (name: string): number[] | null => {
    const values = points.map(({ evaluation }) => evaluation.figures[name]?.mean);
    return values.includes(undefined) ? null : values as number[];
  };
  const [precision, recall] = [figure('precision'), figure('recall')];
  const { png } = await lineChart({
    title: 'Effect of refinement', subtitle, xLabel: 'refinement steps κ', window: 1, scale: 1.25,
    panels: [
      { label: 'Fréchet distance', series: [{ name: 'Fréchet distance', colour: colours.line, x, y: figure('frechetDistance')! }] },
      ...(precision && recall ? [{ label: 'part of 1', series: [{ name: 'precision', x, y: precision }, { name: 'recall', x, y: recall }] }] : []),
    ],
  });
  return png;
}
