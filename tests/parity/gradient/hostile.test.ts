/**
 * Damaged models are refused by one of our own errors, or differentiated into a model that reads back; never by a crash,
 * and never without end (the test's own limit of time and memory sees to that). Seeded: a failure repeats.
 */
import { RatioflowError } from '@ratioflow/sdk';
import { differentiableOperators, gradient, readModel, writeModel } from '@ratioflow/export';
import { describe, expect, it } from 'vitest';
import { cases, singleCases } from './cases.js';
import { damaged } from './hostile.js';
import { counted, recurrence } from './loop-cases.js';
import { modelOf, randomOf } from './support.js';

const rounds = Number(process.env['RATIOFLOW_FUZZ'] ?? 25);

describe('damaged models', () => {
  const loops = [['Scan', recurrence({})], ['Scan from the end', recurrence({ scan_input_directions: [1], scan_output_axes: [-1] })], ['Loop', counted('passed on')], ['Loop that computes its condition', counted('true')]] as const;
  it.each([...cases, ...singleCases, ...loops].map(([name, network], index) => [name, network, index] as const))('of %s', (_, network, index) => {
    const bytes = writeModel(modelOf(network));
    const random = randomOf(index);
    let refused = 0;
    for (let round = 0; round < rounds; round++) {
      const candidate = damaged(random, bytes, differentiableOperators());
      const begin = performance.now();
      try {
        const model = readModel(candidate);
        const wrt = model.graph.inputs.filter((input) => input.dtype?.startsWith('float')).map(({ name }) => name);
        const result = writeModel(gradient(model, { ...(wrt.length > 0 && { wrt }), seed: true }));
        expect(readModel(result).graph.outputs.length).toBeGreaterThan(wrt.length);
      } catch (error) {
        if (!(error instanceof RatioflowError)) throw new Error(`round ${round}: ${String((error as Error).stack)}`, { cause: error });
        refused++;
      }
      const took = performance.now() - begin;
      if (process.env["RATIOFLOW_FUZZ"] && took > 300) console.log(`slow: ${_} round ${round}: ${took.toFixed(0)} ms`);
    }
    expect(refused).toBeGreaterThan(0);
  });
});
