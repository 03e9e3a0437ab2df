/** Models of opsets 7 to 12, raised to 13 as they are read: ONNX Runtime, which knows all of them, is asked what each computes. */
import { create, toBinary } from '@bufbuild/protobuf';
import * as ort from 'onnxruntime-node';
import { gradient, readModel, UnsupportedError, writeModel } from '@ratioflow/export';
import { describe, expect, it } from 'vitest';
import { ModelProtoSchema } from '../../../export/src/onnx/generated/onnx_pb.js';
import { randomOf, randomTensor } from './support.js';

type Item = { readonly opset: number; readonly shape: readonly number[]; readonly node: object; readonly tensors?: readonly object[]; readonly irVersion?: number; readonly listed?: boolean };

const ints = (name: string, ...values: number[]): object => ({ name, type: 7, ints: values.map(BigInt) });
const int = (name: string, value: number): object => ({ name, type: 2, i: BigInt(value) });
const float = (name: string, value: number): object => ({ name, type: 1, f: value });
const text = (name: string, value: string): object => ({ name, type: 3, s: new TextEncoder().encode(value) });
const tensorType = (shape: readonly (number | string)[]): object => ({
  value: { case: 'tensorType', value: { elemType: 1, shape: { dim: shape.map((dim) => ({ value: typeof dim === 'number' ? { case: 'dimValue', value: BigInt(dim) } : { case: 'dimParam', value: dim } })) } } },
});
const floatTensor = (name: string, dims: readonly number[], values: readonly number[]): object => ({ name, dims: dims.map(BigInt), dataType: 1, floatData: [...values] });

/** x through one node, to y = h · h: so that a gradient is not only a pattern of ones. */
const encode = ({ opset, shape, node, tensors = [], irVersion = 3, listed = true }: Item): Uint8Array => toBinary(ModelProtoSchema, create(ModelProtoSchema, {
  irVersion: BigInt(irVersion), opsetImport: [{ version: BigInt(opset) }],
  graph: {
    name: 'old',
    input: [{ name: 'x', type: tensorType(['N', ...shape]) }, ...(listed ? tensors.map((tensor) => {
      const { name, dims, dataType } = tensor as { name: string; dims: bigint[]; dataType: number };
      const type = tensorType(dims.map(Number)) as { value: { value: { elemType: number } } };
      type.value.value.elemType = dataType;
      return { name, type };
    }) : [])],
    initializer: [...tensors],
    node: [node, { opType: 'Mul', name: 'square', input: ['h', 'h'], output: ['y'] }],
    output: [{ name: 'y', type: { value: { case: 'tensorType', value: { elemType: 1 } } } }],
  },
}));

const one = (opType: string, attribute: object[] = [], more: string[] = [], output = ['h']): object => ({ opType, name: 'old', input: ['x', ...more], output, attribute });
const cases: readonly (readonly [string, Item])[] = [
  ['Squeeze', { opset: 9, shape: [1, 4], node: one('Squeeze', [ints('axes', 1)]) }],
  ['Unsqueeze', { opset: 11, shape: [4], node: one('Unsqueeze', [ints('axes', 0, 2)]) }],
  ['ReduceSum', { opset: 12, shape: [3, 4], node: one('ReduceSum', [ints('axes', 1), int('keepdims', 0)]) }],
  ['ReduceSum of all', { opset: 8, shape: [3, 4], node: one('ReduceSum') }],
  ['Split', { opset: 9, shape: [5], node: one('Split', [int('axis', 1), ints('split', 2, 3)], [], ['other', 'h']) }],
  ['Softmax over several axes', { opset: 11, shape: [3, 4], node: one('Softmax') }],
  ['Softmax over the last axis', { opset: 8, shape: [3, 4], node: one('Softmax', [int('axis', 2)]) }],
  ['LogSoftmax from the first axis', { opset: 12, shape: [3, 4], node: one('LogSoftmax', [int('axis', 0)]) }],
  ['Dropout', { opset: 7, shape: [4], node: one('Dropout', [float('ratio', 0.3)]) }],
  ['Clip', { opset: 9, shape: [9], node: one('Clip', [float('min', -0.5), float('max', 0.75)]) }],
  ['Clip above', { opset: 9, shape: [9], node: one('Clip', [float('max', 0.25)]) }],
  ['Pad', { opset: 10, shape: [2, 3], node: one('Pad', [ints('pads', 0, 1, 0, 0, 0, 2), float('value', 1.5)]) }],
  ['Pad, reflecting', { opset: 7, shape: [2, 3], node: one('Pad', [ints('pads', 0, 1, 0, 0, 0, 2), text('mode', 'reflect')]) }],
  ['Scatter', { opset: 9, shape: [4], node: one('Scatter', [int('axis', 1)], ['at', 'u']), tensors: [{ name: 'at', dims: [1n, 2n], dataType: 7, int64Data: [3n, 1n] }, floatTensor('u', [1, 2], [0.5, -0.5])] }],
  ['Resize', { opset: 10, shape: [2, 3, 4], node: one('Resize', [text('mode', 'linear')], ['s']), tensors: [floatTensor('s', [4], [1, 1, 2, 1.5])] }],
  ['Upsample by an attribute', { opset: 7, shape: [2, 3, 4], node: one('Upsample', [{ name: 'scales', type: 6, floats: [1, 1, 2, 3] }, text('mode', 'nearest')]) }],
  ['Upsample by an input', { opset: 9, shape: [2, 3, 4], node: one('Upsample', [text('mode', 'linear')], ['s']), tensors: [floatTensor('s', [4], [1, 1, 2, 2])] }],
  ['Slice to the end', { opset: 9, shape: [5, 4], node: one('Slice', [ints('starts', 1, -3), { name: 'ends', type: 7, ints: [4n, 2n ** 63n - 1n] }, ints('axes', 1, 2)]) }],
  ['TopK', { opset: 9, shape: [6], node: one('TopK', [int('axis', 1), int('k', 2)], [], ['h', 'at']) }],
  ['BatchNormalization', { opset: 7, shape: [2, 3], node: one('BatchNormalization', [float('epsilon', 0.01)], ['a', 'b', 'm', 'v']), tensors: [floatTensor('a', [2], [0.5, 2]), floatTensor('b', [2], [1, -1]), floatTensor('m', [2], [0.1, 0.2]), floatTensor('v', [2], [1, 0.5])] }],
  ['Conv with listed weights', { opset: 8, shape: [1, 5], node: one('Conv', [ints('kernel_shape', 3), ints('pads', 1, 1)], ['w']), tensors: [floatTensor('w', [2, 1, 3], [1, -2, 0.5, 0.25, 1, -1])] }],
  ['Reshape by a listed constant', { opset: 8, shape: [3, 4], node: one('Reshape', [], ['to']), tensors: [{ name: 'to', dims: [3n], dataType: 7, int64Data: [-1n, 2n, 6n] }] }],
];

async function run(bytes: Uint8Array, feeds: Record<string, ort.Tensor>): Promise<Record<string, { readonly data: number[]; readonly dims: readonly number[] }>> {
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4, intraOpNumThreads: 1 });
  try {
    const results = await session.run(feeds);
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, { data: Array.from(tensor.data as Float32Array), dims: tensor.dims }]));
  } finally {
    await session.release();
  }
}

describe('models of old opsets', () => {
  it.each(cases)('compute what they did: %s', async (_, item) => {
    const old = encode(item);
    const { data, shape } = randomTensor(randomOf(2), [2, ...item.shape]);
    const x = new ort.Tensor('float32', Float32Array.from(data), [...shape]);
    const model = readModel(old);
    expect([...model.opsets]).toEqual([['', 13]]);
    const [before, after] = [await run(old, { x }), await run(writeModel(model), { x })];
    expect(after).toEqual(before);
    // y = h²: its derivative along a direction, from the old model itself.
    const { grad_x: found } = await run(writeModel(gradient(readModel(old))), { x });
    const [step, direction] = [1e-2, randomTensor(randomOf(5), shape)];
    const moved = async (sign: number): Promise<number> => {
      const there = new ort.Tensor('float32', Float32Array.from(data, (value, i) => value + sign * step * direction.data[i]!), [...shape]);
      return (await run(old, { x: there }))['y']!.data.reduce((a, b) => a + b, 0);
    };
    const exact = found!.data.reduce((total, value, i) => total + value * direction.data[i]!, 0);
    const size = found!.data.reduce((total, value, i) => total + Math.abs(value * direction.data[i]!), 0);
    expect(Math.abs((await moved(1) - await moved(-1)) / (2 * step) - exact)).toBeLessThan(5e-3 * Math.max(1, size));
  });

  it('keep what was a default an input from IR version 4 on, where it was listed as one', () => {
    const item = cases.find(([name]) => name === 'Conv with listed weights')![1];
    expect(readModel(encode({ ...item, irVersion: 4 })).graph.inputs.map(({ name }) => name)).toEqual(['x', 'w']);
    expect(readModel(encode(item)).graph.inputs.map(({ name }) => name)).toEqual(['x']);
  });

  it('are refused where nothing new says the same, by node', () => {
    const item = cases.find(([name]) => name === 'BatchNormalization')![1];
    const node = { ...item.node, attribute: [int('spatial', 0)] };
    expect(() => readModel(encode({ ...item, node }))).toThrow(UnsupportedError);
    expect(() => readModel(encode({ ...item, node }))).toThrow(/BatchNormalization node "old".*spatial = 0/);
    expect(() => gradient(readModel(encode({ opset: 6, shape: [4], node: one('Relu') })))).toThrow(/of opset 6; gradients are made for opset 7 and later/);
  });
});
