/**
 * Time per value of the noise generator: `npx tsc -b sdk && node tests/bench/noise.mjs`.
 * Prints the median of several runs over one batch of images and over many small samples.
 */
import { fillNormals, fillUniforms, fillWords, purposes } from '../../sdk/dist/index.js';

function nanoseconds(fill, out, range) {
  const times = [];
  const deadline = performance.now() + 300;
  for (let run = 0; run < 200 && (run < 25 || performance.now() < deadline); run++) {
    const start = performance.now();
    fill(out, { seed: 42, purpose: purposes.flow, step: run }, range);
    times.push(((performance.now() - start) * 1e6) / out.length);
  }
  return times.sort((a, b) => a - b)[times.length >> 1].toFixed(2);
}

const first = performance.now();
fillNormals(new Float32Array(1), { seed: 0, purpose: 0, step: 0 }, { count: 1, elements: 1 });
console.log(`first call, with the table: ${(performance.now() - first).toFixed(1)} ms`);

for (const [count, elements] of [[64, 3 * 32 * 32], [1024, 2], [1, 1 << 20], [1024, 784]]) {
  const range = { count, elements };
  const size = count * elements;
  console.log(`${count} × ${elements}, ns/value:`,
    'words', nanoseconds(fillWords, new Uint32Array(size), range),
    '| uniforms', nanoseconds(fillUniforms, new Float64Array(size), range),
    '| normals', nanoseconds(fillNormals, new Float32Array(size), range));
}
