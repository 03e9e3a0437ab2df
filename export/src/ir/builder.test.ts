import { describe, expect, it } from 'vitest';
import { GraphError } from '../errors.js';
import { float32, floats, int64 } from './constant.js';
import { GraphBuilder } from './builder.js';
import { hoistInvariants } from './hoist.js';
import { inline } from './inline.js';
import { newModel, removeUnused } from './model.js';

const graphWithX = (shape: readonly (number | string)[] = ['N', 4]): { builder: GraphBuilder; x: ReturnType<GraphBuilder['input']> } => {
  const builder = new GraphBuilder('test');
  return { builder, x: builder.input('x', 'float32', shape) };
};

describe('GraphBuilder checks what is added', () => {
  it.each([
    ['an unknown operator', 'NoSuchOperator', 1, {}, /NoSuchOperator node.*does not know/],
    ['too few inputs', 'Add', 1, {}, /Add node "Add_0" takes 2 inputs, got 1/],
    ['too many inputs', 'Relu', 2, {}, /takes 1 inputs, got 2/],
    ['an unknown attribute', 'Relu', 1, { alpha: 1 }, /has no attribute "alpha"/],
    ['an attribute of another type', 'LeakyRelu', 1, { alpha: 'much' }, /attribute alpha: expected float, got "much"/],
    ['a fraction for an integer', 'Softmax', 1, { axis: 0.5 }, /expected int, got 0.5/],
    ['a permutation that is none', 'Transpose', 1, { perm: [0, 0] }, /\[0, 0\] is no permutation/],
    ['an axis outside the tensor', 'ArgMax', 1, { axis: 2 }, /axis 2 is outside a tensor of rank 2/],
  ])('refuses %s', (_, opType, inputs, attributes, message) => {
    const { builder, x } = graphWithX();
    expect(() => builder.op(opType, Array.from({ length: inputs }, () => x), attributes)).toThrow(message);
    expect(() => builder.op(opType, Array.from({ length: inputs }, () => x), attributes)).toThrow(GraphError);
    expect(builder.graph.nodes).toHaveLength(0);
  });

  it('refuses shapes and element types that contradict', () => {
    const { builder, x } = graphWithX(['N', 4]);
    const three = builder.constant(float32([1, 2, 3]));
    expect(() => builder.op('Add', [x, three])).toThrow(/Add node .*\[N, 4\] and \[3\] do not broadcast/);
    expect(() => builder.op('MatMul', [x, three])).toThrow(/inner extents 4 and 3 differ/);
    expect(() => builder.op('Add', [x, builder.scalar(1, 'float64')])).toThrow(/different element types, float32 and float64/);
    expect(() => builder.op('Reshape', [builder.constant(float32([1, 2, 3])), builder.ints([2, 2])])).toThrow(/does not reshape/);
    expect(() => builder.op('Conv', [builder.input('image', 'float32', ['N', 3, 8, 8]), builder.constant(float32(new Array<number>(36).fill(0), [2, 2, 3, 3]))], { pads: [0, 0, 0, 0] }))
      .toThrow(/has 3 channels.*wants 2/);
  });

  it('refuses constants whose bytes do not fit their shape', () => {
    expect(() => float32([1, 2, 3], [2, 2])).toThrow(/needs 16 bytes, got 12/);
    expect(() => floats('int8', [1])).toThrow(/cannot have the element type int8/);
  });
});

describe('names', () => {
  it('of nodes are none that a graph has already, whatever has been removed from it', () => {
    const { builder, x } = graphWithX();
    for (let i = 0; i < 4; i++) builder.op('Relu', [x]);
    const { graph } = builder;
    graph.nodes.splice(0, 2);
    const again = new GraphBuilder('again', graph);
    for (let i = 0; i < 4; i++) again.op('Relu', [x]);
    const names = graph.nodes.map(({ name }) => name);
    expect(new Set(names).size).toBe(6);
  });

  it('are unique, and stay with inputs and outputs', () => {
    const { builder, x } = graphWithX();
    const inner = builder.op('Relu', [x], {}, 'y');
    expect(inner.name).toBe('y_out');
    const first = builder.initializer('w', float32([1]));
    const second = builder.initializer('w', float32([2]));
    expect([first.name, second.name]).toEqual(['w', 'w_1']);
    builder.output('w', builder.op('Mul', [inner, first]));
    expect(builder.graph.outputs[0]!.name).toBe('w');
    expect(first.name).not.toBe('w');
    expect(() => builder.output('x', inner)).toThrow(/already taken by an input or output/);
  });

  it('lead through an Identity where an input or an output is named again', () => {
    const { builder, x } = graphWithX();
    builder.output('copy', x);
    const y = builder.output('y', builder.op('Relu', [x]));
    builder.output('z', y);
    expect(builder.graph.outputs.map((value) => value.name)).toEqual(['copy', 'y', 'z']);
    expect(builder.graph.nodes.map((node) => node.opType)).toEqual(['Identity', 'Relu', 'Identity']);
  });

  it('are shared by equal small constants', () => {
    const { builder } = graphWithX();
    expect(builder.ints([1, 2])).toBe(builder.ints([1, 2]));
    expect(builder.ints([1, 2])).not.toBe(builder.ints([2, 1]));
    expect(builder.scalar(0.5, 'float32')).not.toBe(builder.scalar(0.5, 'float64'));
  });
});

describe('constants are found', () => {
  it('through Constant, Identity and reshaping nodes, but not where an input overrides them', () => {
    const { builder } = graphWithX();
    const made = builder.op('Constant', [], { value_floats: [1.5, 2.5] });
    expect(builder.constantNumbers(builder.op('Identity', [builder.op('Unsqueeze', [made, builder.ints([0])])]))).toEqual([1.5, 2.5]);
    const fallback = builder.input('fallback', 'float32', [1]);
    builder.graph.initializers.set(fallback, float32([3]));
    expect(builder.constantNumbers(fallback)).toBeUndefined();
  });
});

describe('graphs in graphs', () => {
  it('inlines with inputs replaced, constants shared and names kept apart', () => {
    const { builder: part, x } = graphWithX();
    const w = part.initializer('w', float32([2]));
    part.output('y', part.op('Mul', [x, w]));
    const whole = new GraphBuilder('whole');
    const input = whole.input('input', 'float32', ['N', 4]);
    const [first] = inline(whole, part.graph, new Map([[x, input]]));
    const [second] = inline(whole, part.graph, new Map([[x, first!]]));
    whole.output('result', second!);
    expect(whole.graph.nodes.map((node) => node.inputs[0])).toEqual([input, first]);
    expect(new Set([...whole.graph.initializers.keys()].map((value) => value.name)).size).toBe(2);
    expect(new Set(whole.graph.initializers.values()).size).toBe(1);
    expect(() => inline(whole, part.graph, new Map())).toThrow(/Nothing is given for input "x"/);
  });

  it('hoists what does not change from one iteration to the next', () => {
    const outer = new GraphBuilder('outer');
    const w = outer.input('w', 'float32', [3, 3]);
    const inner = new GraphBuilder('body', undefined, outer);
    const x = inner.input('x_k', 'float32', [3, 3]);
    const swapped = inner.op('Transpose', [w]);
    inner.output('next', inner.op('MatMul', [x, swapped]));
    hoistInvariants(outer, inner.graph);
    expect(outer.graph.nodes.map((node) => node.opType)).toEqual(['Transpose']);
    expect(inner.graph.nodes.map((node) => node.opType)).toEqual(['MatMul']);
  });

  it('removes what no output needs', () => {
    const { builder, x } = graphWithX();
    builder.op('Exp', [builder.op('Relu', [x])]);
    builder.initializer('unused', int64([1]));
    builder.output('y', builder.op('Neg', [x]));
    const model = newModel(builder.graph);
    expect(model.graph.nodes.map((node) => node.opType)).toEqual(['Neg']);
    expect(model.graph.initializers.size).toBe(0);
    const again = new GraphBuilder('again', model.graph);
    const kept = again.op('Sin', [again.graph.inputs[0]!]);
    removeUnused(model.graph, (item) => item === kept);
    expect(model.graph.nodes.map((node) => node.opType)).toEqual(['Neg', 'Sin']);
  });
});
