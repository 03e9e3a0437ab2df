/** Shape inference. Expected shapes are those of the operators' definitions, worked out by hand. */
import { describe, expect, it } from 'vitest';
import { GraphBuilder, type AttributeValues } from '../ir/builder.js';
import { floats, int64, type Constant } from '../ir/constant.js';
import type { Shape } from '../ir/types.js';
import { product, quotient, sum } from './symbolic.js';

type Given = Shape | number[] | Constant;
const ints = (...values: number[]): Constant => int64(values);
const scales = (...values: number[]): Constant => floats('float32', values);

function shapesOf(opType: string, inputs: readonly (Given | null)[], attributes: AttributeValues = {}, outputs = 1): (Shape | undefined)[] {
  const builder = new GraphBuilder('inference');
  const values = inputs.map((given, index) => {
    if (given === null) return null;
    return 'data' in given ? builder.constant(given) : builder.input(`x${index}`, 'float32', given);
  });
  return builder.ops(opType, values, attributes, outputs).map((value) => value.shape?.map((dim) => (typeof dim === 'string' && dim.startsWith('?') ? '?' : dim)));
}

describe('shape inference', () => {
  it.each<[string, readonly (Given | null)[], AttributeValues, Shape]>([
    ['Add', [['N', 1, 4], [3, 1]], {}, ['N', 3, 4]],
    ['Add', [['N', 4], ['M', 1]], {}, ['?', 4]],
    ['Add', [['N', 4], [8, 1]], {}, [8, 4]],
    ['MatMul', [['N', 2, 3], [3, 5]], {}, ['N', 2, 5]],
    ['MatMul', [[3], ['N', 3, 5]], {}, ['N', 5]],
    ['MatMul', [[4, 3], [3]], {}, [4]],
    ['Gemm', [[3, 'N'], [5, 3]], { transA: 1, transB: 1 }, ['N', 5]],
    ['Einsum', [['N', 2, 3], ['N', 4, 3]], { equation: 'bij,bkj->bik' }, ['N', 2, 4]],
    ['Einsum', [['N', 2, 3], [3, 5]], { equation: '...j,jk' }, ['N', 2, 5]],
    ['Conv', [['N', 3, 9, 8], [4, 3, 3, 3]], { strides: [2, 2], pads: [1, 1, 1, 1] }, ['N', 4, 5, 4]],
    ['Conv', [['N', 3, 'H', 'W'], [4, 3, 3, 3]], { pads: [1, 1, 1, 1] }, ['N', 4, 'H', 'W']],
    ['Conv', [['N', 3, 'H', 8], [4, 3, 3, 3]], { strides: [2, 1], pads: [1, 1, 1, 1] }, ['N', 4, '?', 8]],
    ['Conv', [['N', 3, 9], [4, 3, 3]], { auto_pad: 'SAME_UPPER', strides: [2] }, ['N', 4, 5]],
    ['ConvTranspose', [['N', 4, 5, 5], [4, 3, 3, 3]], { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] }, ['N', 3, 10, 10]],
    ['MaxPool', [['N', 2, 7, 7]], { kernel_shape: [2, 2], strides: [2, 2] }, ['N', 2, 3, 3]],
    ['MaxPool', [['N', 2, 7, 7]], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }, ['N', 2, 4, 4]],
    // The last window would begin in the padding: it is left out.
    ['AveragePool', [['N', 2, 4, 4]], { kernel_shape: [2, 2], strides: [3, 3], pads: [0, 0, 1, 1], ceil_mode: 1 }, ['N', 2, 2, 2]],
    ['Flatten', [['N', 3, 4, 5]], { axis: 2 }, ['3*N', 20]],
    ['Reshape', [['N', 6, 4], ints(-1, 24)], {}, ['N', 24]],
    ['Reshape', [['N', 6, 4], ints(0, 2, -1)], {}, ['N', 2, 12]],
    ['Reshape', [['N', 6, 4], ints(-1, 4)], {}, ['6*N', 4]],
    ['Transpose', [['N', 3, 4]], {}, [4, 3, 'N']],
    ['Concat', [['N', 3], ['N', 5]], { axis: 1 }, ['N', 8]],
    ['Concat', [['N', 3], ['N', 3]], { axis: 0 }, ['2*N', 3]],
    ['Slice', [['N', 9], ints(-1), ints(-(2 ** 31)), ints(1), ints(-2)], {}, ['N', 5]],
    ['Slice', [['N', 9], ints(1), ints(3), ints(0)], {}, ['?', 9]],
    ['Pad', [['N', 4], ints(0, 1, 0, 2), null], {}, ['N', 7]],
    ['Tile', [['N', 4], ints(2, 3)], {}, ['2*N', 12]],
    ['Expand', [['N', 1, 4], ints(1, 3, 1)], {}, ['N', 3, 4]],
    ['Gather', [['N', 5, 6], ints(0, 2)], { axis: 1 }, ['N', 2, 6]],
    ['ReduceSum', [['N', 3, 4], ints(1)], { keepdims: 0 }, ['N', 4]],
    ['ReduceMean', [['N', 3, 4]], { axes: [2] }, ['N', 3, 1]],
    ['ArgMax', [['N', 3]], { axis: 1, keepdims: 0 }, ['N']],
    ['Squeeze', [['N', 1, 4], ints(1)], {}, ['N', 4]],
    ['Unsqueeze', [['N', 4], ints(0, 3)], {}, [1, 'N', 4, 1]],
    ['Resize', [['N', 3, 4, 5], null, scales(1, 1, 2, 1.5)], {}, ['N', 3, 8, 7]],
    ['Resize', [['N', 3, 4, 5], null, null, ints(2, 3, 9, 9)], {}, [2, 3, 9, 9]],
    ['DepthToSpace', [['N', 8, 'H', 3]], { blocksize: 2 }, ['N', 2, '2*H', 6]],
    ['SpaceToDepth', [['N', 2, 4, 6]], { blocksize: 2 }, ['N', 8, 2, 3]],
    ['OneHot', [['N'], ints(10), scales(0, 1)], {}, ['N', 10]],
  ])('%s of %j with %j', (opType, inputs, attributes, expected) => {
    expect(shapesOf(opType, inputs, attributes)).toEqual([expected]);
  });

  it('knows every output', () => {
    expect(shapesOf('Split', [['N', 7]], { axis: 1, num_outputs: 3 }, 3)).toEqual([['N', 3], ['N', 3], ['N', 1]]);
    expect(shapesOf('TopK', [['N', 7], ints(2)], { axis: 1 }, 2)).toEqual([['N', 2], ['N', 2]]);
    expect(shapesOf('LayerNormalization', [['N', 7], [7], [7]], {}, 3)).toEqual([['N', 7], ['N', 1], ['N', 1]]);
    const b = new GraphBuilder('types');
    const layer = (stash_type: number): ReturnType<GraphBuilder['ops']> => b.ops('LayerNormalization', [b.input(`x${stash_type}`, 'float16', [2, 7]), b.input(`w${stash_type}`, 'float16', [7])], { stash_type }, 3);
    expect([1, 16].map((type) => layer(type).map(({ dtype }) => dtype))).toEqual([['float16', 'float32', 'float32'], ['float16', 'bfloat16', 'bfloat16']]);
  });

  it('folds shape arithmetic through symbols', () => {
    const builder = new GraphBuilder('fold');
    const x = builder.input('x', 'float32', ['N', 12, 8]);
    const at = (index: number): ReturnType<GraphBuilder['op']> => builder.op('Gather', [builder.op('Shape', [x]), builder.constant(int64([index], []))], { axis: 0 });
    const four = builder.constant(int64([4], []));
    const rows = builder.op('Mul', [at(0), builder.op('Div', [at(1), four])]);
    const target = builder.op('Concat', [builder.op('Unsqueeze', [rows, builder.ints([0])]), builder.op('Unsqueeze', [four, builder.ints([0])]), builder.ints([-1])], { axis: 0 });
    const windows = builder.op('Reshape', [x, target]);
    expect(windows.shape).toEqual(['3*N', 4, 8]);
    expect(builder.op('Reshape', [windows, builder.ints([-1, 96])]).shape).toEqual(['N', 96]);
  });

  it('folds the arithmetic on ranks and sizes by which exporters choose branches', () => {
    const builder = new GraphBuilder('rank');
    const shape = builder.op('Shape', [builder.input('x', 'float32', ['N', 12, 1])]);
    const surplus = builder.op('Sub', [builder.op('Size', [shape]), builder.constant(int64([3], []))]);
    expect(surplus.content).toEqual([0]);
    const zero = builder.ints([0]);
    const truths = ['Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((opType) => builder.op(opType, [surplus, zero]).content);
    expect(truths).toEqual([[0], [1], [0], [1]]);
    expect(builder.op('Less', [shape, shape]).content).toEqual([0, 0, 0]);
    expect(builder.op('Less', [shape, builder.ints([5])]).content).toEqual([expect.stringContaining('?='), 0, 1]);
    expect(builder.op('Abs', [builder.ints([-2, 3])]).content).toEqual([2, 3]);
    expect(builder.op('ReduceProd', [shape], { keepdims: 0 }).content).toEqual(['12*N']);
    expect(builder.op('ReduceSum', [builder.ints([4, 5, 6])], { keepdims: 0 }).content).toEqual([15]);
  });

  it('gives extents that nothing names one name, the same wherever they stand', () => {
    const builder = new GraphBuilder('anonymous');
    const x = builder.input('x', 'float32', ['N', 3, 'H', 'W']);
    const w = builder.input('w', 'float32', [4, 3, 3, 3]);
    const y = builder.op('Conv', [x, w], { strides: [2, 2], pads: [1, 1, 1, 1] });
    expect(builder.op('Add', [y, builder.op('Relu', [y])]).shape).toEqual(y.shape);
    expect(y.shape![2]).not.toBe(y.shape![3]);
  });
});

describe('symbolic arithmetic', () => {
  it('has one form for equal products', () => {
    expect(product([2, 'N', 3, 'M'])).toBe('6*M*N');
    expect(product(['M', product(['N', 6])])).toBe('6*M*N');
    expect(quotient('6*M*N', '2*M')).toBe('3*N');
    expect(quotient('6*N', 4)).toBeUndefined();
    expect(quotient('N', 'M')).toBeUndefined();
    expect(sum('N', '2*N')).toBe('3*N');
    expect(sum('3*N', 'N', -1)).toBe('2*N');
    expect(sum('N', 'M')).toBeUndefined();
    expect(product(['s0 + 1', 2])).toBeUndefined();
  });
});
