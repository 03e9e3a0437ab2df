/** Speed and time left of a run, from its last iterations. */
import type { RunMetrics } from './metrics.js';

/** How far a run is. */
export interface Pace {
  readonly of: number;
  /** Over the last iterations. */
  readonly iterationsPerSecond: number;
  readonly secondsLeft: number;
}

const remembered = 20;

/** @param of iterations in all; @returns the progress after an iteration, `done` of them over */
export function progressMeter<M extends RunMetrics>(of: number): (metrics: M, done?: number) => M & Pace {
  const recent: number[] = [];
  return (metrics, done = metrics.iteration) => {
    recent.push(metrics.milliseconds);
    if (recent.length > remembered) recent.shift();
    const iterationsPerSecond = (1000 * recent.length) / recent.reduce((a, b) => a + b, 0);
    return { ...metrics, iteration: done, of, iterationsPerSecond, secondsLeft: (of - done) / iterationsPerSecond };
  };
}
