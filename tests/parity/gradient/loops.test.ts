/** Loops whose number of iterations is known: read as the nodes of their iterations, they compute what ONNX Runtime makes of the loop, and have gradients. */
import { gradient, readModel, writeModel, type GraphBuilder, type Model, type Value } from '@ratioflow/export';
import { describe, expect, it } from 'vitest';
import { counted, f64, int, looping, recurrence, yes } from './loop-cases.js';
import { adjointError, modelOf, randomOf, randomTensor, Session, type Network } from './support.js';

const kinds = (model: Model): string[] => model.graph.nodes.map(({ opType }) => opType);

/** What ONNX Runtime makes of the loop, and of what is read. */
async function bothSides(network: Network): Promise<[number[], number[]]> {
  const model = modelOf(network);
  const random = randomOf(5);
  const feeds = Object.fromEntries(network.inputs.map(({ shape }, index) => [`x${index}`, randomTensor(random, shape.map((dim) => (typeof dim === 'number' ? dim : 2)))]));
  const sides: number[][] = [];
  for (const one of [model, readModel(writeModel(model))]) {
    const session = await Session.open(one);
    sides.push(Array.from((await session.run(feeds))['y']!.data));
    await session.close();
  }
  return sides as [number[], number[]];
}

describe('loops of known length', () => {
  it.each([
    ['forwards', {}], ['from the end', { scan_input_directions: [1] }], ['collected from the end', { scan_output_directions: [1] }], ['collected along another axis', { scan_output_axes: [1] }], ['collected along the last axis', { scan_output_axes: [-1] }],
  ] as const)('Scan, %s', async (_, attributes) => {
    const network = recurrence(attributes);
    const read = readModel(writeModel(modelOf(network)));
    expect(kinds(read)).not.toContain('Scan');
    const names = read.graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs.map((value) => value!.name)]);
    expect(new Set(names).size).toBe(names.length);
    const [loop, steps] = await bothSides(network);
    expect(steps).toEqual(loop);
    expect(await adjointError(network)).toBeLessThan(1e-6);
    expect(await adjointError(network, { batch: 1 })).toBeLessThan(1e-6);
  });

  it.each(['passed on', 'true'] as const)('Loop whose condition is %s', async (condition) => {
    const network = counted(condition);
    expect(kinds(readModel(writeModel(modelOf(network))))).not.toContain('Loop');
    const [loop, steps] = await bothSides(network);
    expect(steps).toEqual(loop);
    expect(await adjointError(network)).toBeLessThan(1e-6);
  });

  it('those of opset 9 to 12 too', async () => {
    const old = (inner: GraphBuilder, opType: string, x: Value, shape: readonly (number | string)[]): Value => {
      const y = inner.value(opType, f64(...shape));
      inner.graph.nodes.push({ name: `${opType}_of_11`, opType, domain: '', inputs: [x], outputs: [y], attributes: new Map([['axes', { type: 'ints', value: [1] }]]) });
      return y;
    };
    const bytes = writeModel(modelOf({
      inputs: [{ shape: [1, 4] }],
      make: (b, [x]) => looping(b, 'Loop', [int(b, 3), yes(b), x!], [{ dtype: 'int64', shape: [] }, { dtype: 'bool', shape: [] }, f64(1, 4)], (inner, _, held, y) => {
        const square = inner.op('Mul', [y, y]);
        return [held, old(inner, 'Squeeze', old(inner, 'Unsqueeze', square, [1, 1, 4]), [1, 4]), y];
      }, [f64(1, 4), f64(3, 1, 4)])[1]!,
    }, 11));
    const model = readModel(bytes);
    expect(kinds(model)).not.toContain('Loop');
    const session = await Session.open(gradient(model, { wrt: 'x0' }));
    const x = [0.5, -1, 2, 0.1];
    // x + x² + x⁴ by hand.
    const { grad_x0 } = await session.run({ x0: { shape: [1, 4], data: Float64Array.from(x) } });
    Array.from(grad_x0!.data).forEach((value, index) => expect(value).toBeCloseTo(1 + 2 * x[index]! + 4 * x[index]! ** 3, 12));
    await session.close();
  });

  it.each([
    ['may end early', counted('computed')],
    ['has a length that the running graph computes', counted('passed on', (b) => b.op('Squeeze', [b.op('Shape', [b.graph.inputs[0]!], { start: 0, end: 1 }), b.ints([0])]))],
    ['has more iterations than are written out', counted('passed on', (b) => int(b, 1_000_000_000))],
  ])('stays where it %s, and is refused by name', (_, network) => {
    const read = readModel(writeModel(modelOf(network)));
    expect(kinds(read)).toContain('Loop');
    expect(() => gradient(read)).toThrow(/Loop node "loop": control flow cannot be differentiated/);
  });
});
