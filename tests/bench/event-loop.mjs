/**
 * How long a server would not answer: delay of the event loop while a model samples without a pause, with the engine on the
 * calling thread, on a worker thread, in a process. `npx tsc -b && node tests/bench/event-loop.mjs <bundle> [<batch> …]`
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { open } from '../../runtimes/node/dist/index.js';

const [bundle, ...batches] = process.argv.slice(2);
if (bundle === undefined) throw new Error('usage: event-loop.mjs <bundle> [<batch> …]');
for (const count of batches.length > 0 ? batches.map(Number) : [64]) {
  for (const worker of [false, 'thread', 'process']) {
    const model = await open(bundle, { worker });
    await model.sample({ count, batch: count, K: 2, kappa: 0 });
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const end = performance.now() + 4000;
    while (performance.now() < end) await model.sample({ count, batch: count, seed: 3 });
    delay.disable();
    const [p99, max] = [delay.percentile(99), delay.max].map((nanoseconds) => `${(nanoseconds / 1e6).toFixed(1)} ms`);
    console.log(`batch ${count}, worker ${worker}: delay of the event loop ${p99} (99th percentile), ${max} (largest)`);
    await model.dispose();
  }
}
