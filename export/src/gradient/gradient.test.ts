import { describe, expect, it } from 'vitest';
import { GraphError, UnsupportedError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { boolean, float32, numbersOf } from '../ir/constant.js';
import { newModel } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { readModel } from '../onnx/read.js';
import { writeModel } from '../onnx/write.js';
import { backpropagate } from './backpropagate.js';
import { gradient } from './gradient.js';
import { differentiableOperators, nonDifferentiable } from './rules/table.js';

function modelOf(make: (builder: GraphBuilder, x: Value) => Value, opset = 18): Model {
  const builder = new GraphBuilder('test', undefined, undefined, opset);
  builder.output('y', make(builder, builder.input('x', 'float32', ['N', 4])));
  const model = newModel(builder.graph);
  model.opsets.set('', opset);
  return model;
}

describe('gradient', () => {
  it('adds one output and keeps everything else', () => {
    const model = modelOf((b, x) => b.op('Mul', [b.op('Tanh', [x]), x]));
    const before = { nodes: [...model.graph.nodes], metadata: model.metadata.set('author', 'somebody') };
    model.docString = 'about';
    const result = gradient(model);
    expect(result.graph.outputs.map((value) => value.name)).toEqual(['y', 'grad_x']);
    expect(result.graph.nodes.slice(0, before.nodes.length)).toEqual(before.nodes);
    const read = readModel(writeModel(result));
    expect(read).toMatchObject({ docString: 'about' });
    expect(read.metadata.get('author')).toBe('somebody');
    expect(read.graph.outputs[1]).toMatchObject({ dtype: 'float32', shape: ['N', 4] });
  });

  it('leaves no node behind that nobody needs, and removes none that was there', () => {
    const model = modelOf((b, x) => {
      b.op('Exp', [x], {}, 'unused');
      return b.op('Relu', [x]);
    });
    // newModel sweeps, so the unused node is put back.
    const builder = new GraphBuilder('again', model.graph);
    const spare = builder.op('Exp', [model.graph.inputs[0]!]);
    gradient(model);
    const used = new Set([...model.graph.outputs, ...model.graph.nodes.flatMap((node) => node.inputs)]);
    expect(model.graph.nodes.filter((node) => !node.outputs.some((value) => used.has(value))).map((node) => node.outputs[0])).toEqual([spare]);
  });

  it('takes a seed of the output\'s shape', () => {
    const model = gradient(modelOf((b, x) => b.op('ReduceSum', [x, b.ints([1])], { keepdims: 0 })), { seed: true });
    expect(model.graph.inputs.map(({ name, shape }) => [name, shape])).toEqual([['x', ['N', 4]], ['seed_y', ['N']]]);
  });

  it('differentiates with respect to several inputs, and to the ones named', () => {
    const builder = new GraphBuilder('two');
    const [x, z] = [builder.input('x', 'float32', ['N', 4]), builder.input('z', 'float32', [4])];
    builder.output('y', builder.op('Mul', [x, z]));
    builder.output('other', builder.op('Exp', [x]));
    const result = gradient(newModel(builder.graph), { of: 'y', wrt: ['x', 'z'] });
    expect(result.graph.outputs.slice(2).map(({ name, shape }) => [name, shape])).toEqual([['grad_x', ['N', 4]], ['grad_z', [4]]]);
  });

  it.each<[string, Model, Parameters<typeof gradient>[1], RegExp]>([
    ['an unknown output', modelOf((b, x) => b.op('Relu', [x])), { of: 'z' }, /no output "z": it has y/],
    ['an unknown input', modelOf((b, x) => b.op('Relu', [x])), { wrt: 'z' }, /no input "z": it has x/],
  ])('refuses %s', (_, model, options, message) => {
    expect(() => gradient(model, options)).toThrow(message);
    expect(() => gradient(model, options)).toThrow(GraphError);
  });

  it('answers zeros only where they are asked for', () => {
    const flat = (): Model => modelOf((b, x) => b.op('Add', [b.op('Floor', [x]), b.op('Hardmax', [x])]));
    expect(() => gradient(flat())).toThrow(UnsupportedError);
    const [y, grad] = gradient(flat(), { zeros: true }).graph.outputs;
    expect(grad).toMatchObject({ name: 'grad_x', dtype: 'float32', shape: y!.shape });
  });

  const opaque = (b: GraphBuilder, x: Value, opType: string, domain: string): Value => {
    const y = b.value('strange', { dtype: 'float32', shape: x.shape });
    b.graph.nodes.push({ name: 'odd', opType, domain, inputs: [x], outputs: [y], attributes: new Map() });
    return y;
  };

  it.each<[string, Model, RegExp]>([
    ['an operator without a rule', modelOf((b, x) => opaque(b, x, 'TfIdfVectorizer', '')), /TfIdfVectorizer node "odd": there is no gradient rule/],
    ['another domain', modelOf((b, x) => opaque(b, x, 'FusedGelu', 'com.microsoft')), /com\.microsoft\.FusedGelu node "odd": operators of the domain "com.microsoft"/],
    ['an operator that is not differentiable', modelOf((b, x) => opaque(b, x, 'Hardmax', '')), /Hardmax node "odd": this operator is not differentiable/],
    ['integers on the only path', modelOf((b, x) => b.op('Cast', [b.op('Cast', [x], { to: 7 })], { to: 1 })), /No differentiable path leads from "x" to "y"/],
    ['a comparison on the only path', modelOf((b, x) => b.op('Cast', [b.op('Greater', [x, b.scalar(0, x)])], { to: 1 })), /No differentiable path/],
    ['rounding on the only path', modelOf((b, x) => b.op('Floor', [x])), /No differentiable path/],
    ['an output besides the first', modelOf((b, x) => {
      const first = opaque(b, x, 'Relu', '');
      const second = b.value('second', { dtype: 'float32', shape: x.shape });
      b.graph.nodes.at(-1)!.outputs = [first, second];
      return second;
    }), /only its first output can be differentiated/],
    ['sums that the opset lacks', modelOf((b, x) => b.op('Gather', [x, b.op('Expand', [b.op('Cast', [b.op('ReduceMax', [x], { keepdims: 0 })], { to: 7 }), b.ints([2 ** 25])])], { axis: 1 }), 15), /Gather node .* came with opset 16; the model is of opset 15/],
    ['grids too large for a constant', modelOf((b, x) => b.op('AffineGrid', [b.op('Reshape', [b.op('Concat', [x, x], { axis: 1 }), b.ints([-1, 2, 4])]), b.ints([1, 1, 2 ** 31, 2 ** 31])]), 20), /AffineGrid node .* constant matrix/],
    ['images too large for a constant', modelOf((b, x) => b.op('Col2Im', [b.op('Unsqueeze', [x, b.ints([2])]), b.ints([2 ** 31, 2 ** 31]), b.ints([2 ** 20, 2 ** 20])])), /Col2Im node .* constant matrix/],
    ['an old opset', modelOf((b, x) => b.op('Relu', [x]), 12), /of opset 12; gradients are made for opset 13 and later/],
  ])('refuses %s, naming the node', (_, model, message) => {
    expect(() => gradient(model, { wrt: 'x' })).toThrow(message);
    expect(() => gradient(model, { wrt: 'x' })).toThrow(UnsupportedError);
  });

  it('refuses control flow that captures what is differentiated, instead of overlooking it', () => {
    const model = modelOf((b, x) => {
      const branch = (opType: string): GraphBuilder => {
        const inner = new GraphBuilder(opType, undefined, b);
        inner.output(`${opType}_out`, inner.op(opType, [x]));
        return inner;
      };
      const y = b.value('chosen', { dtype: 'float32', shape: ['N', 4] });
      b.graph.nodes.push({
        name: 'choice', opType: 'If', domain: '', inputs: [b.constant(boolean(true))], outputs: [y],
        attributes: new Map([['then_branch', { type: 'graph', value: branch('Exp').graph }], ['else_branch', { type: 'graph', value: branch('Neg').graph }]]),
      });
      return b.op('Add', [y, x]);
    });
    expect(() => gradient(model)).toThrow(/If node "choice": control flow cannot be differentiated/);
  });

  it('sums contributions that meet, each once', () => {
    // y = x + x + x: three contributions and no product.
    const builder = new GraphBuilder('sum');
    const x = builder.input('x', 'float32', ['N']);
    const y = builder.op('Sum', [x, x, x]);
    const seed = builder.input('seed', 'float32', ['N']);
    backpropagate(builder, [[y, seed]], [x]);
    expect(builder.graph.nodes.map((node) => node.opType)).toEqual(['Sum', 'Add', 'Add']);
  });

  it.each([
    // ONNX defines HardSwish by HardSigmoid with the attribute 1/6, and attributes, their defaults included, are single precision.
    ['HardSwish', {}, Math.fround(1 / 6)], ['HardSigmoid', {}, Math.fround(0.2)], ['LeakyRelu', { alpha: 0.3 }, Math.fround(0.3)], ['Elu', { alpha: 0.3 }, Math.fround(0.3)],
  ])('multiplies by the attribute that an engine sees, in float64: %s', (opType, attributes, expected) => {
    const builder = new GraphBuilder('double');
    builder.output('y', builder.op(opType, [builder.input('x', 'float64', ['N', 4])], attributes));
    const { initializers } = gradient(newModel(builder.graph)).graph;
    expect([...initializers.values()].flatMap((constant) => numbersOf(constant))).toContain(expected);
  });

  it.each([[['N', 4]], [['N', 3, 4]], [['N', 'M', 4]]])('reads the weight of a product as it stands, for x of %j', (shape) => {
    const builder = new GraphBuilder('dense');
    builder.output('y', builder.op('MatMul', [builder.input('x', 'float32', shape), builder.constant(float32(Array.from({ length: 20 }, (_, i) => i), [4, 5]))]));
    const { nodes, outputs } = gradient(newModel(builder.graph)).graph;
    expect(nodes.map((node) => node.opType)).not.toContain('Transpose');
    expect(outputs[1]!.shape).toEqual(shape);
  });

  it('uses neither Where nor comparisons for the slopes of ReLU networks', () => {
    const model = gradient(modelOf((b, x) => b.op('LeakyRelu', [b.op('Relu', [b.op('Clip', [x, b.scalar(0, x), b.scalar(6, x)])])], { alpha: 0.2 })));
    expect(model.graph.nodes.map((node) => node.opType)).not.toEqual(expect.arrayContaining(['Where']));
    expect(model.graph.nodes.map((node) => node.opType)).not.toEqual(expect.arrayContaining(['Greater']));
  });
});

describe('the table of rules', () => {
  it('has no operator that is declared not differentiable', () => {
    expect(differentiableOperators().filter((name) => nonDifferentiable.has(name))).toEqual([]);
  });
});
