/** The SDK's noise against the independent Python implementation, bit for bit, on many streams drawn at random. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { fillUniforms, fillWords, normals } from '@ratioflow/sdk';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import numpy']).status === 0,
);
if (python === undefined) console.log('skip: no Python with numpy (set RATIOFLOW_PYTHON): noise is not compared with the Python implementation');

const word = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff }));

const stream = fc.record({
  seed: fc.oneof(fc.bigInt({ min: 0n, max: 1000n }), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n })),
  purpose: fc.nat(5),
  step: word,
  firstSample: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 0xffffffff - 40 })),
  count: fc.nat(40),
  elements: fc.oneof(fc.nat(20), fc.nat(3000)),
});

describe('Python', () => {
  it.skipIf(python === undefined)('makes the same words, uniforms and normals', () => {
    const streams = [
      ...fc.sample(stream, { numRuns: 150, seed: 2303 }),
      { seed: 2n ** 64n - 1n, purpose: 5, step: 2 ** 32 - 1, firstSample: 2 ** 32 - 3, count: 3, elements: 17 },
      { seed: 0n, purpose: 1, step: 0, firstSample: 0, count: 100, elements: 3072 },
    ];
    const input = JSON.stringify(streams.map((s) => [s.seed.toString(), s.purpose, s.step, s.firstSample, s.count, s.elements]));
    const run = spawnSync(python!, ['-W', 'error', fileURLToPath(new URL('reference.py', import.meta.url))], { input, maxBuffer: 2 ** 30 });
    expect(run.stderr.toString()).toBe('');
    expect(run.status).toBe(0);

    let at = 0;
    for (const one of streams) {
      const words = new Uint32Array(one.count * one.elements);
      const uniforms = new Float64Array(words.length);
      fillWords(words, one, one);
      fillUniforms(uniforms, one, one);
      for (const values of [words, uniforms, normals(one)]) {
        const expected = run.stdout.subarray(at, (at += values.byteLength));
        expect(Buffer.compare(Buffer.from(values.buffer), expected), JSON.stringify({ ...one, seed: one.seed.toString() })).toBe(0);
      }
    }
    expect(at).toBe(run.stdout.length);
    expect(at).toBeGreaterThan(10_000_000);
  });
});
