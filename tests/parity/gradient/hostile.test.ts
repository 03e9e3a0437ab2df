/**
 * Damaged models are refused by one of our own errors, or differentiated into a model that reads back; never by a crash,
 * and never without end (the test's own limit of time and memory sees to that). Seeded: a failure repeats.
 */
import { RatioflowError } from '@ratioflow/sdk';
import { differentiableOperators, gradient, GraphBuilder, readModel, writeModel } from '@ratioflow/export';
import { describe, expect, it } from 'vitest';
import { cases, floats64, network, singleCases } from './cases.js';
import { damaged } from './hostile.js';
import { counted, recurrence } from './loop-cases.js';
import { modelOf, randomOf } from './support.js';

const rounds = Number(process.env['RATIOFLOW_FUZZ'] ?? 25);

describe('damaged models', () => {
  it('are refused by node where steering values are no whole numbers', () => {
    const split = network([['N', 4]], (b, x) => b.ops('Split', [x, b.ints([2, 2])], { axis: 1 }, 2)[0]!);
    const model = modelOf(split);
    const [node] = model.graph.nodes;
    const halves = new GraphBuilder('damaged', model.graph).constant(floats64([1.5, 2.5]));
    node!.inputs[1] = halves;
    expect(() => readModel(writeModel(model))).toThrow(/Split node "Split_0" would make a tensor of shape \[N, 1\.5\]: extents are whole numbers/);
  });

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
