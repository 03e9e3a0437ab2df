/** Whether memory grows: what rounds of work leave behind, garbage aside. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Garbage that waits to be collected is no leak. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/**
 * Bytes of resident memory by which the process grew in that of four stretches of work in which it grew least, after one to warm up. What leaks
 * does so in every stretch; what the process itself grows by, a larger heap for one, comes now and then.
 */
export async function leastGrowth(work: () => Promise<void>): Promise<number> {
  const measures: number[] = [];
  for (let stretch = 0; stretch <= 4; stretch++) {
    await work();
    collectGarbage();
    measures.push(process.memoryUsage.rss());
  }
  return Math.min(...measures.slice(1).map((measure, i) => measure - measures[i]!));
}
