/** The scale under the screen: steps as ticks, the two stages, and the mean log ratio along the flow. */
import { colour, fit } from './page.js';
import type { Run } from './player.js';

/** Mean of an array; NaN when it is empty. */
export function mean(values: ArrayLike<number> | undefined): number {
  let sum = 0;
  for (let i = 0; i < (values?.length ?? 0); i++) sum += values![i]!;
  return values === undefined ? NaN : sum / values.length;
}

export function drawTrace(target: HTMLCanvasElement, { frames, of, K }: Run): void {
  const { context, width, height } = fit(target);
  context.clearRect(0, 0, width, height);
  if (of === 0) return;
  const foot = height - 9;
  // The thumb is 3 pixels wide, and so are the ends of its way.
  const toX = (step: number): number => 1.5 + step / of * (width - 3);
  context.strokeStyle = colour('line');
  context.lineWidth = 1;
  const unit = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((step) => of / step <= width / 7) ?? 2000;
  context.beginPath();
  for (let step = 0; step <= of; step += unit) {
    const x = Math.round(toX(step)) + 0.5;
    context.moveTo(x, foot);
    context.lineTo(x, foot + (step % (5 * unit) === 0 ? 8 : 4));
  }
  context.moveTo(0, foot + 0.5);
  context.lineTo(width, foot + 0.5);
  context.stroke();
  if (K < of) {
    // Refinement, the second stage.
    context.fillStyle = colour('teal');
    context.globalAlpha = 0.13;
    context.fillRect(toX(K), 0, width - toX(K), foot);
    context.globalAlpha = 1;
  }
  const means = frames.map(({ logRatio }) => mean(logRatio));
  const known = means.filter(Number.isFinite);
  if (known.length === 0) return;
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
  const toY = (value: number): number => 5 + (high - value) / (high - low || 1) * (foot - 10);
  context.setLineDash([2, 4]);
  context.beginPath();
  context.moveTo(0, toY(0));
  context.lineTo(width, toY(0));
  context.stroke();
  context.setLineDash([]);
  context.strokeStyle = colour('teal');
  context.lineWidth = 1.6;
  context.lineJoin = 'round';
  context.beginPath();
  frames.forEach(({ step }, i) => context.lineTo(toX(step), toY(means[i]!)));
  context.stroke();
}
