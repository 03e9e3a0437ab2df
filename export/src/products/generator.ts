/**
 * generator.onnx: one graph from normal noise to finished images in bytes, as tools that measure generative models load
 * it (torch-fidelity's GenerativeModelONNX: the inputs are z and, if conditional, the class; the first output the images).
 */
import type { GraphBuilder } from '../ir/builder.js';
import { float32, int64 } from '../ir/constant.js';
import type { Model, Value } from '../ir/types.js';
import { dataTypeCodes } from '../ir/types.js';
import { batch } from './estimator.js';
import type { Field } from './field.js';
import { begin, finish, flowLoop } from './graphs.js';
import type { Prior } from './prior.js';

/** What is fixed in a generator. */
export interface GeneratorSetting {
  readonly eta: number;
  readonly nu: number;
  /** K + κ. */
  readonly steps: number;
  /** Becomes bytes 0 to 255. */
  readonly valueRange: readonly [number, number];
  /** Constants in place of inputs of the field. */
  readonly fixed?: Readonly<Record<string, readonly number[]>>;
}

/**
 * z [N, D · (steps + 1)], all of it normal → images uint8 [N, C, H, W], a single channel repeated to three. The first D
 * values of z become the prior, through the normal distribution function where that wants uniform ones; then D for each step.
 */
export function generatorModel(field: Field, prior: Prior, { eta, nu, steps, valueRange, fixed = {} }: GeneratorSetting): Model {
  const inputs = field.inputs.filter(({ name }) => !Object.hasOwn(fixed, name));
  const { builder, extras: declared } = begin('generator', { ...field, inputs });
  const extras = new Map(declared);
  for (const { name, shape } of field.inputs) {
    if (Object.hasOwn(fixed, name)) extras.set(name, builder.initializer(name, float32(fixed[name]!, shape as number[])));
  }
  const { sampleShape } = field;
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const z = builder.input('z', 'float32', [batch, elements * (steps + 1)]);
  const x0 = prior.apply(builder, priorPart(builder, prior, z, elements));
  const x = steps === 0 ? x0 : flowLoop(
    builder, field, builder.constant(int64([steps], [])), x0, noiseOf(builder, z, elements, sampleShape),
    { eta: builder.scalar(eta, z), nu: builder.scalar(nu, z), extras },
  );
  builder.output('images', bytes(builder, x, valueRange));
  return finish(builder, { ...field, inputs });
}

/** The z that the prior's graph takes, from the first normals. */
function priorPart(builder: GraphBuilder, prior: Prior, z: Value, elements: number): Value {
  const normal = builder.op('Slice', [z, builder.ints([0]), builder.ints([elements]), builder.ints([1])]);
  if (prior.record.z !== 'uniform') return normal;
  // Φ(z) = ½ (1 + erf(z / √2))
  const erf = builder.op('Erf', [builder.op('Mul', [normal, builder.scalar(Math.SQRT1_2, z)])]);
  return builder.op('Mul', [builder.op('Add', [erf, builder.scalar(1, z)]), builder.scalar(0.5, z)]);
}

/** ξ_k from the k-th stretch of z after the prior's. */
function noiseOf(builder: GraphBuilder, z: Value, elements: number, sampleShape: readonly number[]): (body: GraphBuilder, k: Value) => Value {
  const rest = builder.op('Slice', [z, builder.ints([elements]), builder.ints([2 ** 31 - 1]), builder.ints([1])]);
  const steps = builder.op('Reshape', [rest, builder.ints([0, -1, elements])]);
  return (body, k) => {
    const flat = body.op('Gather', [steps, k], { axis: 1 });
    return sampleShape.length === 1 ? flat : body.op('Reshape', [flat, body.ints([-1, ...sampleShape])]);
  };
}

/** Nearest of 256 levels; what lies outside the range is clamped, the only clamp of the whole flow. */
function bytes(builder: GraphBuilder, x: Value, [low, high]: readonly [number, number]): Value {
  const scale = 255 / (high - low);
  const levels = builder.op('Add', [builder.op('Mul', [x, builder.scalar(scale, x)]), builder.scalar(-low * scale, x)]);
  const rounded = builder.op('Round', [builder.op('Clip', [levels, builder.scalar(0, x), builder.scalar(255, x)])]);
  const image = builder.op('Cast', [rounded], { to: dataTypeCodes.uint8 });
  return x.shape![1] === 1 ? builder.op('Concat', [image, image, image], { axis: 1 }) : image;
}

/** Whether a bundle can have a generator: images of a known range. */
export const hasGenerator = (field: Field, valueRange: readonly [number, number] | null): valueRange is readonly [number, number] =>
  valueRange !== null && field.sampleShape.length === 3;
