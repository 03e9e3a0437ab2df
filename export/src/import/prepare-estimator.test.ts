import { describe, expect, it } from 'vitest';
import { GraphError, UnsupportedError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { floats, float32 } from '../ir/constant.js';
import type { DataType, Model, Shape, Value } from '../ir/types.js';
import { readModel } from '../onnx/read.js';
import { writeModel } from '../onnx/write.js';
import { estimatorOf } from '../products/estimator.js';
import { prepareEstimator, type PrepareOptions } from './prepare-estimator.js';

type Body = (builder: GraphBuilder, x: Value) => Value | readonly Value[];

/** A model as it comes from a file: written and read again, so that nothing but names and annotations is left. */
function modelOf(shape: Shape, body: Body, { opset = 18, dtype = 'float32' }: { opset?: number; dtype?: DataType } = {}): Model {
  const builder = new GraphBuilder('foreign', undefined, undefined, opset);
  const made = body(builder, builder.input('image', dtype, shape));
  (Array.isArray(made) ? made as Value[] : [made as Value]).forEach((value, i) => builder.output(`score${i}`, value));
  return readModel(writeModel({
    irVersion: 8, opsets: new Map([['', opset]]), producer: { name: 'test', version: '' }, docString: '', metadata: new Map(), graph: builder.graph,
  }));
}

const sum = (axes: readonly number[], keepdims = 0): Body => (builder, x) => builder.op('ReduceSum', [builder.op('Mul', [x, x]), builder.ints(axes)], { keepdims });
const points = sum([1]);
const image = sum([1, 2, 3]);

describe('prepareEstimator', () => {
  it.each<[string, Model, PrepareOptions, number[]]>([
    ['[N, D] → [N]', modelOf(['N', 3], points), {}, [3]],
    ['another name for the batch', modelOf(['batch_size', 3], points), {}, [3]],
    ['[N, D] → [N, 1]', modelOf(['N', 3], sum([1], 1)), {}, [3]],
    ['[N, C, H, W] → [N, 1, 1, 1]', modelOf(['N', 3, 4, 5], sum([1, 2, 3], 1)), {}, [3, 4, 5]],
    ['a fixed batch', modelOf([7, 3], points), {}, [3]],
    ['open spatial extents, pinned', modelOf(['N', 3, 'height', 'width'], image), { sampleShape: [3, 8, 6] }, [3, 8, 6]],
    ['channels last', modelOf(['N', 8, 6, 3], image), { layout: 'nhwc' }, [3, 8, 6]],
    ['channels last, open, pinned', modelOf(['N', 'h', 'w', 1], image), { layout: 'nhwc', sampleShape: [1, 8, 6] }, [1, 8, 6]],
    ['float16', modelOf(['N', 3], points, { dtype: 'float16' }), {}, [3]],
    ['float64 of opset 13', modelOf(['N', 3], points, { dtype: 'float64', opset: 13 }), {}, [3]],
  ])('takes %s', (_, model, options, sampleShape) => {
    const { model: prepared } = prepareEstimator(model, options);
    expect(estimatorOf(prepared).sampleShape).toEqual(sampleShape);
    expect(prepared.graph.outputs[0]!.shape).toEqual(['N']);
    expect(prepared.opsets).toEqual(new Map([['', 18]]));
  });

  it('says what it changed', () => {
    const { notes } = prepareEstimator(modelOf([2, 4, 4, 1], image, { dtype: 'float16', opset: 16 }), { layout: 'nhwc', negate: true });
    expect(notes).toEqual([
      'converted from opset 16', 'computes in float32 instead of float16', 'freed its batch extent, which was fixed to 2', 'channels are moved from the last axis to the first',
      'the sign of its output is turned',
    ]);
  });

  const identity: Body = (_, x) => x;
  const normalised: Body = (b, x) => {
    const parameter = (value: number): Value => b.constant(float32([value, value, value]));
    return points(b, b.ops('BatchNormalization', [x, parameter(1), parameter(0), parameter(0), parameter(1)], { training_mode: 1 }, 3)[0]!);
  };
  it.each<[string, Model, PrepareOptions, RegExp]>([
    ['a classifier', modelOf(['N', 10], identity), {}, /output score0 is \[N, 10\].*allowed: \[N\] or \[N, 1\].*10 numbers look like a classifier's/],
    ['no batch', modelOf([3, 8, 8], sum([0, 1, 2])), {}, /input image \[3, 8, 8\] has 3 axes; allowed: \[N, C, H, W\] for images or \[N, D\]/],
    ['a sum over the batch', modelOf(['N', 3], sum([0, 1])), {}, /output score0 is \[\]; allowed/],
    ['two inputs', modelOf(['N', 3], (b, x) => b.op('Add', [points(b, x) as Value, b.input('class', 'float32', ['N'])])), {}, /this model has 2: image float32 \[N, 3\], class float32 \[N\]. Export a wrapper/],
    ['two outputs', modelOf(['N', 3], (b, x) => [points(b, x) as Value, b.op('Exp', [x])]), {}, /one output.*this model has 2: score0 float32 \[N\], score1/],
    ['bytes', modelOf(['N', 3], (b, x) => points(b, b.op('Cast', [x], { to: 1 })), { dtype: 'uint8' }), {}, /input image uint8 \[N, 3\] is not floating-point.*takes float32/],
    ['an integer output', modelOf(['N', 3], (b, x) => b.op('ArgMax', [x], { axis: 1, keepdims: 0 })), {}, /output .* is int64; allowed: one floating-point number/],
    ['open spatial extents', modelOf(['N', 3, 'height', 'width'], image), {}, /leaves height, width open.*--sample-shape C,H,W/],
    ['another sample shape', modelOf(['N', 3, 8, 8], image), { sampleShape: [3, 8, 9] }, /\[N, 3, 8, 8\] does not take samples of shape \[3, 8, 9\]/],
    ['channels last, unsaid', modelOf(['N', 8, 8, 3], image), {}, /looks like channels last .*--layout nhwc if so, --layout nchw if not/],
    ['points as channels last', modelOf(['N', 8], points), { layout: 'nhwc' }, /are no images/],
    ['batch normalisation in training mode', modelOf(['N', 3], normalised), {}, /BatchNormalization node ".+" is in training mode: .*the others of its batch\. Export the estimator in evaluation mode/],
    ['batch normalisation in training mode, of an old opset', modelOf(['N', 3], (b, x) => {
      const parameter = (value: number): Value => b.constant(float32([value, value, value]));
      const [y] = b.ops('BatchNormalization', [x, parameter(1), parameter(0), parameter(0), parameter(1)], {}, 3);
      return points(b, y!);
    }, { opset: 13 }), {}, /BatchNormalization node ".+" is in training mode: .*Export the estimator in evaluation mode/],
    ['dropout in training mode', modelOf(['N', 3], (b, x) => points(b, b.op('Dropout', [x, b.scalar(0.5, x), b.constant({ dtype: 'bool', dims: [], data: Uint8Array.of(1) })]))), {}, /Dropout node ".+" is in training mode: .*chance\. Export the estimator in evaluation mode/],
    ['noise', modelOf(['N', 3], (b, x) => points(b, b.op('Add', [x, b.op('RandomNormalLike', [x])]))), {}, /RandomNormalLike node ".+" draws random numbers: .*chance/],
    ['an empty extent', modelOf(['N', 0], points), {}, /is empty/],
  ])('refuses %s', (_, model, options, message) => {
    expect(() => prepareEstimator(model, options)).toThrow(GraphError);
    expect(() => prepareEstimator(model, options)).toThrow(message);
  });

  it.each<[string, Model, RegExp]>([
    ['an old opset', modelOf(['N', 3], points, { opset: 6 }), /of opset 6; estimators are read from opset 7 to 28.*Export it again with opset 18/],
    ['an opset to come', modelOf(['N', 3], points, { opset: 29 }), /of opset 29/],
    ['padding that wraps around', modelOf(['N', 2, 4, 4], (b, x) => image(b, b.op('Pad', [x, b.ints([0, 0, 1, 1, 0, 0, 1, 1])], { mode: 'wrap' })), { opset: 19 }), /Pad node .* of opset 19 wraps around: opset 18 has no equivalent\. Export the estimator again with opset 18/],
    ['a double beyond float32', modelOf(['N', 3], (b, x) => points(b, b.op('Mul', [x, b.constant(floats('float64', [1e300]))])), { dtype: 'float64' }), /holds 1e\+300, which float32 cannot/],
    ['a batch that cannot be freed', modelOf([4, 3], (b, x) => b.op('Gemm', [b.constant(float32(new Array<number>(16).fill(1), [4, 4])), points(b, x) as Value].map((v, i) => (i ? b.op('Reshape', [v, b.ints([4, 1])]) : v)))),
      /batch is fixed to 4 and cannot be freed: .*Export it with a symbolic batch extent/],
  ])('refuses %s', (_, model, message) => {
    expect(() => prepareEstimator(model)).toThrow(message);
  });

  it('names the operator of another domain', () => {
    const model = modelOf(['N', 3], points);
    model.graph.nodes[0]!.domain = 'com.microsoft';
    expect(() => prepareEstimator(model)).toThrow(UnsupportedError);
    expect(() => prepareEstimator(model)).toThrow(/Mul node .* is of the domain "com\.microsoft": an estimator uses ai\.onnx alone/);
  });
});
