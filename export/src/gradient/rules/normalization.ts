/** Normalisation layers, in closed form for the layer's input and through plain operators for its parameters. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import { dataTypeCodes, type DataType, type Dim, type Value } from '../../ir/types.js';
import { floatOf, intOf, intsOf, normalizeAxis } from '../../ops/operator.js';
import { product } from '../../ops/symbolic.js';
import { checkMatrixSize, reduceKeeping, requiredInput, requiredOutput, reshapeTo, unbroadcast, type Rule, type RuleContext } from '../rule.js';

/** Centred and scaled values, and 1 / deviation. */
interface Normalized {
  readonly hat: Value;
  readonly inverse: Value;
}

function normalize(context: RuleContext, x: Value, axes: readonly number[], epsilon: number, centred = true): Normalized {
  const { builder } = context;
  const centre = centred ? builder.op('Sub', [x, reduceKeeping(context, 'ReduceMean', x, axes)]) : x;
  const variance = reduceKeeping(context, 'ReduceMean', builder.op('Mul', [centre, centre]), axes);
  const inverse = builder.op('Reciprocal', [builder.op('Sqrt', [builder.op('Add', [variance, builder.scalar(epsilon, x)])])]);
  return { hat: builder.op('Mul', [centre, inverse]), inverse };
}

/** dx = (h − mean h − x̂ mean(h x̂)) / deviation, for the gradient h of the normalised values x̂. */
function normalizedGradient(context: RuleContext, { hat, inverse }: Normalized, h: Value, axes: readonly number[], centred = true): Value {
  const { builder } = context;
  const projection = builder.op('Mul', [hat, reduceKeeping(context, 'ReduceMean', builder.op('Mul', [h, hat]), axes)]);
  const centre = centred ? builder.op('Sub', [h, reduceKeeping(context, 'ReduceMean', h, axes)]) : h;
  return builder.op('Mul', [builder.op('Sub', [centre, projection]), inverse]);
}

const cast = ({ builder }: RuleContext, value: Value, dtype: DataType): Value => (dtypeOf(value) === dtype ? value : builder.op('Cast', [value], { to: dataTypeCodes[dtype] }));

/** Half precision is normalised in single precision, as the operators themselves do (stash_type). */
const workingType = (x: Value): DataType => (['float16', 'bfloat16'].includes(dtypeOf(x)) ? 'float32' : dtypeOf(x));

/** y = x̂ · scale + bias, with scale and bias that broadcast against x. */
function affineNormalization(context: RuleContext, axes: readonly number[], epsilon: number, parameterShape?: readonly Dim[], centred = true): (Value | null)[] {
  const { builder, node } = context;
  const x = requiredInput(context, 0);
  const type = workingType(x);
  const gradient = cast(context, context.gradient, type);
  const shaped = (value: Value): Value => cast(context, parameterShape ? builder.op('Reshape', [value, builder.ints(parameterShape as number[])]) : value, type);
  const normalized = normalize(context, cast(context, x, type), axes, epsilon, centred);
  const parameter = (value: Value, index: number): Value | null => {
    const target = node.inputs[index];
    if (!target || !context.wants(index)) return null;
    const like = parameterShape ? { ...target, shape: parameterShape } : target;
    const summed = unbroadcast(context, value, like);
    return cast(context, parameterShape ? builder.op('Reshape', [summed, builder.reshapeTarget(target)]) : summed, dtypeOf(target));
  };
  const scaled = builder.op('Mul', [gradient, shaped(requiredInput(context, 1))]);
  return [
    context.wants(0) ? cast(context, normalizedGradient(context, normalized, scaled, axes, centred), dtypeOf(x)) : null,
    context.wants(1) ? parameter(builder.op('Mul', [gradient, normalized.hat]), 1) : null,
    parameter(gradient, 2),
  ];
}

/** Batch normalisation in training mode: by the statistics of the batch, which the running ones take in. */
function batchStatistics(context: RuleContext): (Value | null)[] {
  const { builder, node } = context;
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((index) => requiredInput(context, index)) as [Value, Value, Value, Value, Value];
  const axes = [...shapeOf(x).keys()].filter((axis) => axis !== 1);
  const perChannel = (value: Value): Value => cast(context, builder.op('Reshape', [value, builder.ints([-1, ...shapeOf(x).slice(2).map(() => 1)])]), dtypeOf(x));
  const momentum = floatOf(node, 'momentum', 0.9);
  const running = (before: Value, found: Value): Value => builder.op('Add', [
    builder.op('Mul', [before, builder.scalar(momentum, before)]),
    builder.op('Mul', [cast(context, builder.op('Reshape', [found, builder.ints([-1])]), dtypeOf(before)), builder.scalar(1 - momentum, before)]),
  ]);
  return context.expand(() => {
    const average = reduceKeeping(context, 'ReduceMean', x, axes);
    const centre = builder.op('Sub', [x, average]);
    const spread = reduceKeeping(context, 'ReduceMean', builder.op('Mul', [centre, centre]), axes);
    const hat = builder.op('Div', [centre, builder.op('Sqrt', [builder.op('Add', [spread, builder.scalar(floatOf(node, 'epsilon', 1e-5), x)])])]);
    return [builder.op('Add', [builder.op('Mul', [hat, perChannel(scale)]), perChannel(bias)]), running(mean, average), running(variance, spread)];
  }, [x, scale, bias, mean, variance]);
}

/** Layer normalisation whose mean or inverse deviation is differentiated, too. */
function layerStatistics(context: RuleContext, axes: readonly number[], epsilon: number): (Value | null)[] {
  const { builder, node } = context;
  const [x, scale, bias] = [requiredInput(context, 0), requiredInput(context, 1), node.inputs[2]];
  const type = workingType(x);
  return context.expand(() => {
    const wide = cast(context, x, type);
    const { hat, inverse } = normalize(context, wide, axes, epsilon);
    const scaled = builder.op('Mul', [hat, cast(context, scale, type)]);
    const y = bias ? builder.op('Add', [scaled, cast(context, bias, type)]) : scaled;
    const statistic = (value: Value, index: number): Value => cast(context, value, dtypeOf(node.outputs[index] ?? value));
    return [cast(context, y, dtypeOf(x)), statistic(reduceKeeping(context, 'ReduceMean', wide, axes), 1), statistic(inverse, 2)];
  }, bias ? [x, scale, bias] : [x, scale]);
}

const from = (x: Value, first: number): number[] => shapeOf(x).map((_, axis) => axis).slice(first);

export const normalizationRules: Readonly<Record<string, Rule>> = {
  BatchNormalization: (context) => {
    const { builder, node, where, gradient } = context;
    if (builder.opset < 14 && node.outputs.slice(1).some((output) => output)) {
      throw new UnsupportedError(`${where}: batch normalisation in training mode cannot be differentiated before opset 14. Export the model in evaluation mode.`);
    }
    if (intOf(node, 'training_mode', 0) === 1) return batchStatistics(context);
    const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((index) => requiredInput(context, index)) as [Value, Value, Value, Value, Value];
    const ones = shapeOf(x).slice(2).map(() => 1);
    const type = dtypeOf(variance);
    // [C] → [C, 1, …], in the type of x.
    const perChannel = (value: Value): Value => cast(context, builder.op('Reshape', [value, builder.ints([-1, ...ones])]), dtypeOf(x));
    const deviation = builder.op('Sqrt', [builder.op('Add', [variance, builder.scalar(floatOf(node, 'epsilon', 1e-5), variance)])]);
    if (![1, 2, 3, 4].some((index) => context.wants(index))) {
      return [builder.op('Mul', [gradient, perChannel(builder.op('Div', [cast(context, scale, type), deviation]))])];
    }
    return context.expand(() => {
      const hat = builder.op('Div', [builder.op('Sub', [x, perChannel(mean)]), perChannel(builder.op('Sqrt', [builder.op('Add', [variance, builder.scalar(floatOf(node, 'epsilon', 1e-5), variance)])]))]);
      return builder.op('Add', [builder.op('Mul', [hat, perChannel(scale)]), perChannel(bias)]);
    }, [x, scale, bias, mean, variance]);
  },
  LayerNormalization: (context) => {
    const x = requiredInput(context, 0);
    const axis = normalizeAxis(intOf(context.node, 'axis', -1), shapeOf(x).length, context.where);
    const rule = context.outputGradients.some((value, index) => value && index > 0) ? layerStatistics : affineNormalization;
    return rule(context, from(x, axis), floatOf(context.node, 'epsilon', 1e-5));
  },
  RMSNormalization: (context) => {
    const x = requiredInput(context, 0);
    const axis = normalizeAxis(intOf(context.node, 'axis', -1), shapeOf(x).length, context.where);
    return affineNormalization(context, from(x, axis), floatOf(context.node, 'epsilon', 1e-5), undefined, false);
  },
  InstanceNormalization: (context) => {
    const x = requiredInput(context, 0);
    const channels = shapeOf(requiredInput(context, 1))[0]!;
    if (typeof channels !== 'number') throw new UnsupportedError(`${context.where}: the number of channels must be static.`);
    return affineNormalization(context, from(x, 2), floatOf(context.node, 'epsilon', 1e-5), [channels, ...from(x, 2).map(() => 1)]);
  },
  GroupNormalization: (context) => {
    // Through InstanceNormalization's formula on [N, groups, the rest]; scale and bias per channel, before opset 21 per group.
    const { builder, node, where } = context;
    const [x, scale, bias] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
    const shape = shapeOf(x);
    const [groups, channels] = [intOf(node, 'num_groups', 1), shape[1]!];
    if (typeof channels !== 'number') throw new UnsupportedError(`${where}: the number of channels must be static.`);
    const type = workingType(x);
    const perGroup = builder.opset < 21;
    const rest = product([channels / groups, ...shape.slice(2)]);
    const parameter = (value: Value): Value => cast(context, builder.op('Reshape', [value, builder.ints(perGroup ? [groups, 1] : [channels, ...shape.slice(2).map(() => 1)])]), type);
    const affine = (value: Value): Value => builder.op('Add', [builder.op('Mul', [value, parameter(scale)]), parameter(bias)]);
    return context.expand(() => {
      const grouped = builder.op('Reshape', [cast(context, x, type), builder.ints([0, groups, -1])]);
      grouped.shape = [shape[0]!, groups, rest ?? `?${x.name}.group`];
      const { hat } = normalize(context, grouped, [2], floatOf(node, 'epsilon', 1e-5));
      const inner = perGroup ? affine(hat) : hat;
      const back = reshapeTo(context, inner, shape, [x]);
      return cast(context, perGroup ? back : affine(back), dtypeOf(x));
    }, [x, scale, bias]);
  },
  LpNormalization: (context) => {
    const { builder, node, where } = context;
    const x = requiredInput(context, 0);
    const axes = [normalizeAxis(intOf(node, 'axis', -1), shapeOf(x).length, where)];
    const norm = intOf(node, 'p', 2) === 1
      ? (): Value => builder.op('ReduceSum', [builder.op('Abs', [x]), builder.ints(axes)], { keepdims: 1 })
      : (): Value => reduceKeeping(context, 'ReduceL2', x, axes);
    return context.expand(() => {
      const length = norm();
      // What is zero altogether stays zero, and so does its slope.
      const safe = builder.op('Where', [builder.op('Equal', [length, builder.scalar(0, x)]), builder.scalar(Infinity, x), length]);
      return builder.op('Div', [x, safe]);
    }, [x]);
  },
  MeanVarianceNormalization: (context) => {
    // y = (x − mean) / (√(mean x² − (mean x)²) + 1e−9), as the operator's function body has it.
    const { builder, node, where } = context;
    const x = requiredInput(context, 0);
    const axes = (intsOf(node, 'axes') ?? [0, 2, 3]).map((axis) => normalizeAxis(axis, shapeOf(x).length, where));
    return context.expand(() => {
      const mean = (value: Value): Value => reduceKeeping(context, 'ReduceMean', value, axes);
      const centre = builder.op('Sub', [x, mean(x)]);
      const deviation = builder.op('Sqrt', [mean(builder.op('Mul', [centre, centre]))]);
      return builder.op('Div', [centre, builder.op('Add', [deviation, builder.scalar(1e-9, x)])]);
    }, [x]);
  },
  LRN: (context) => {
    // y = x s^(−β), s = bias + α/n Σ x² over neighbouring channels, a band matrix W: dx = g s^(−β) − 2αβ/n x ⊙ Wᵀ(g y / s).
    const { builder, node, where, gradient } = context;
    const [x, y] = [requiredInput(context, 0), requiredOutput(context)];
    const shape = shapeOf(x);
    const [alpha, beta, bias, size] = [floatOf(node, 'alpha', 1e-4), floatOf(node, 'beta', 0.75), floatOf(node, 'bias', 1), intOf(node, 'size', 1)];
    const channels = shape[1];
    if (typeof channels !== 'number') throw new UnsupportedError(`${where}: the number of channels must be static.`);
    checkMatrixSize(context, channels, channels);
    const band = Array.from({ length: channels * channels }, (_, i) => {
      const offset = (i % channels) - Math.floor(i / channels);
      return Number(offset >= -Math.floor((size - 1) / 2) && offset <= Math.ceil((size - 1) / 2));
    });
    const transposedBand = band.map((_, i) => band[(i % channels) * channels + Math.floor(i / channels)]!);
    const along = (value: Value, matrix: readonly number[]): Value => {
      const lined = builder.op('Reshape', [value, builder.ints([0, channels, -1])]);
      lined.shape = [shape[0]!, channels, product(shape.slice(2)) ?? `?${x.name}.pixels`];
      const weights = builder.constant(floats(dtypeOf(x), matrix, [channels, channels]), 'band');
      return reshapeTo(context, builder.op('MatMul', [weights, lined]), shape, [x]);
    };
    const scalar = (value: number): Value => builder.scalar(value, x);
    const sums = along(builder.op('Mul', [x, x]), band);
    const s = builder.op('Add', [builder.op('Mul', [sums, scalar(alpha / size)]), scalar(bias)]);
    const direct = builder.op('Mul', [gradient, builder.op('Pow', [s, scalar(-beta)])]);
    const across = along(builder.op('Div', [builder.op('Mul', [gradient, y]), s]), transposedBand);
    return [builder.op('Sub', [direct, builder.op('Mul', [builder.op('Mul', [x, across]), scalar((2 * alpha * beta) / size)])])];
  },
};
