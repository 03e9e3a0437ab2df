import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../ir/builder.js';
import { boolean, float32 } from '../ir/constant.js';
import { newModel } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { assertEmissionProfile, emissionProfileIssues } from './emission-profile.js';

function modelOf(make: (builder: GraphBuilder, x: Value) => Value, shape: readonly (number | string)[] = ['N', 3, 8, 8]): Model {
  const builder = new GraphBuilder('lint');
  builder.output('y', make(builder, builder.input('x', 'float32', shape)));
  return newModel(builder.graph);
}
const kernel = (builder: GraphBuilder): Value => builder.initializer('w', float32(new Array<number>(54).fill(1), [2, 3, 3, 3]));
const pads = { pads: [0, 0, 0, 0] };

describe('the emission profile', () => {
  it('accepts a plain graph', () => {
    expect(emissionProfileIssues(modelOf((builder, x) => builder.op('Relu', [builder.op('Conv', [x, kernel(builder)], pads)])))).toEqual([]);
  });

  it.each<[string, Model, RegExp]>([
    ['auto_pad', modelOf((builder, x) => builder.op('Conv', [x, kernel(builder)], { ...pads, auto_pad: 'VALID' })), /Conv node .* uses auto_pad/],
    ['implicit padding', modelOf((builder, x) => builder.op('MaxPool', [x], { kernel_shape: [2, 2] })), /MaxPool node .* has no explicit pads/],
    ['integer arithmetic', modelOf((builder, x) => builder.op('Reshape', [x, builder.op('Mul', [builder.op('Shape', [x]), builder.ints([1])])])), /Mul node .* computes with int64/],
    ['other symbols', modelOf((builder, x) => builder.op('Relu', [x]), ['N', 'H']), /x has symbolic extents other than N/],
    ['another opset', { ...modelOf((builder, x) => builder.op('Relu', [x])), opsets: new Map([['', 17]]) }, /imports ai.onnx 17 instead of ai.onnx 18/],
    ['another domain', { ...modelOf((builder, x) => builder.op('Relu', [x])), opsets: new Map([['', 18], ['com.microsoft', 1]]) }, /com.microsoft 1/],
  ])('finds %s', (_, model, message) => {
    expect(emissionProfileIssues(model).join('; ')).toMatch(message);
    expect(() => { assertEmissionProfile('test.onnx', model); }).toThrow(/test\.onnx departs from the emission profile/);
  });

  it('allows Loop only where asked, and only with a condition', () => {
    const loop = (condition: boolean): Model => modelOf((builder, x) => {
      const body = new GraphBuilder('body', undefined, builder);
      body.input('k', 'int64', []);
      body.input('more', 'bool', []);
      const carried = body.input('c', 'float32', ['N', 3]);
      body.output('go', body.constant(boolean(true)));
      body.output('next', body.op('Relu', [carried]));
      return builder.op('Loop', [builder.ints([3]), condition ? builder.constant(boolean(true)) : null, x], { body: body.graph });
    }, ['N', 3]);
    expect(emissionProfileIssues(loop(true)).join()).toMatch(/Loop node .* is control flow/);
    expect(emissionProfileIssues(loop(true), { controlFlow: true })).toEqual([]);
    expect(emissionProfileIssues(loop(false), { controlFlow: true }).join()).toMatch(/Loop node .* has no explicit condition/);
  });
});
