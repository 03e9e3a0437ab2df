/** Picking and placing elements by index. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { float32 } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { intOf, knownInts, normalizeAxis, stringOf } from '../../ops/operator.js';
import { product } from '../../ops/symbolic.js';
import { applyAlong, checkMatrixSize, extentVector, fullLike, longestList, requiredInput, requiredOutput, reshapeTo, shapeVector, type Rule, type RuleContext } from '../rule.js';
import { countTo } from './moving.js';
import { padTo } from './padding.js';

/** Sums at repeated indices need ScatterElements with a reduction. */
const summingOpset = 16;
/** Elements of the matrix of ones that stands for it before. */
const oneHotLimit = 2 ** 26;

/**
 * Scatters with sums or products of what meets. ONNX Runtime's CPU provider does that in half precision with no kernel of its own
 * and without widening by itself: single precision, which also rounds less.
 */
export function scatterReduced(builder: GraphBuilder, scatter: 'ScatterElements' | 'ScatterND', [data, indices, updates]: readonly [Value, Value, Value], attributes: { readonly axis?: number; readonly reduction: 'add' | 'mul' }): Value {
  const dtype = dtypeOf(data);
  if (dtype !== 'float16') return builder.op(scatter, [data, indices, updates], attributes);
  const [wideData, wideUpdates] = [data, updates].map((value) => builder.op('Cast', [value], { to: dataTypeCodes.float32 })) as [Value, Value];
  return builder.op('Cast', [builder.op(scatter, [wideData, indices, wideUpdates], attributes)], { to: dataTypeCodes[dtype] });
}

function needSums(context: RuleContext): void {
  if (context.builder.opset < summingOpset) throw new UnsupportedError(`${context.where}: its gradient needs ScatterElements with sums, which came with opset ${summingOpset}; the model is of opset ${context.builder.opset}.`);
}

export const indexingRules: Readonly<Record<string, Rule>> = {
  Gather: (context) => {
    const { node, where } = context;
    const [x, indices] = [requiredInput(context, 0), requiredInput(context, 1)];
    const axis = normalizeAxis(intOf(node, 'axis', 0), shapeOf(x).length, where);
    const extent = shapeOf(x)[axis]!;
    const known = context.builder.constantNumbers(indices);
    return [known && typeof extent === 'number'
      ? gatherConstantly(context, axis, known.map((index) => (index < 0 ? index + extent : index)), extent)
      : gatherAtRunTime(context, axis)];
  },
  GatherElements: (context) => {
    const { builder, node, where, gradient } = context;
    const [x, indices] = [requiredInput(context, 0), requiredInput(context, 1)];
    const axis = normalizeAxis(intOf(node, 'axis', 0), shapeOf(x).length, where);
    if (builder.opset >= summingOpset) return [scatterReduced(builder, 'ScatterElements', [fullLike(context, x, 0), indices, gradient], { axis, reduction: 'add' })];
    // Before: ones where an output took an element, [.., extent of x, extent of indices, ..], times its gradient, summed.
    const longer = [...shapeOf(x).keys()].filter((at) => at !== axis && shapeOf(x)[at] !== shapeOf(indices)[at]);
    if (longer.length > 0) {
      // Indices that reach over a part of x.
      const zeros = builder.ints(longer.map(() => 0));
      const ends = builder.op('Concat', longer.map((at) => extentVector(context, indices, at)), { axis: 0 });
      return context.expand(() => {
        const part = Object.assign(builder.op('Slice', [x, zeros, ends, builder.ints(longer)]), { shape: shapeOf(indices).with(axis, shapeOf(x)[axis]!) });
        return builder.op('GatherElements', [part, indices], { axis });
      }, [x]);
    }
    const ones = oneHot(context, indices, axis, axis);
    const sum = builder.op('ReduceSum', [builder.op('Mul', [ones, builder.op('Unsqueeze', [gradient, builder.ints([axis])])]), builder.ints([axis + 1])], { keepdims: 0 });
    return [Object.assign(sum, { shape: x.shape })];
  },
  GatherND: (context) => {
    const { builder, node, where, gradient } = context;
    const [x, indices] = [requiredInput(context, 0), requiredInput(context, 1)];
    const batch = intOf(node, 'batch_dims', 0);
    const rank = shapeOf(indices).length;
    if (batch < 0 || batch >= rank) throw new UnsupportedError(`${where}: batch_dims is ${batch} for indices of rank ${rank}.`);
    // ScatterND has no batch_dims: the place in the batch comes before the indices.
    const places = Array.from({ length: batch }, (_, axis) => {
      const column = builder.op('Reshape', [countTo(context, extentVector(context, indices, axis)), builder.ints(Array.from({ length: rank }, (_, at) => (at === axis ? -1 : 1)))]);
      const extents = builder.op('Concat', [builder.op('Slice', [builder.op('Shape', [indices]), builder.ints([0]), builder.ints([rank - 1])]), builder.ints([1])], { axis: 0 });
      return builder.op('Expand', [column, extents]);
    });
    const full = batch > 0 ? builder.op('Concat', [...places, indices], { axis: rank - 1 }) : indices;
    if (builder.opset < summingOpset) return context.expand(() => gatherFlat(context, x, full), [x]);
    return [scatterReduced(builder, 'ScatterND', [fullLike(context, x, 0), full, gradient], { reduction: 'add' })];
  },
  Compress: (context) => {
    const { builder, node } = context;
    const x = requiredInput(context, 0);
    const kept = (): Value => builder.op('Reshape', [builder.op('NonZero', [requiredInput(context, 1)]), builder.ints([-1])]);
    const axis = node.attributes.has('axis') ? intOf(node, 'axis', 0) : undefined;
    return context.expand(() => builder.op('Gather', [axis === undefined ? builder.op('Reshape', [x, builder.ints([-1])]) : x, kept()], { axis: axis ?? 0 }), [x]);
  },
  Unique: (context) => {
    // Every element of Y stands for its first occurrence. The node that is there says where that is.
    const { builder, node } = context;
    const x = requiredInput(context, 0);
    const first = node.outputs[1] ?? builder.value(`${node.outputs[0]!.name}_first`, { dtype: 'int64', shape: [`?${node.outputs[0]!.name}.count`] });
    if (!node.outputs[1]) node.outputs = [node.outputs[0]!, first, ...node.outputs.slice(2)];
    const axis = node.attributes.has('axis') ? intOf(node, 'axis', 0) : undefined;
    return context.expand(() => builder.op('Gather', [axis === undefined ? builder.op('Reshape', [x, builder.ints([-1])]) : x, first], { axis: axis ?? 0 }), [x]);
  },
  OneHot: (context) => {
    // The values for "off" and "on" receive the gradients of where they were put.
    const { builder, node, gradient } = context;
    if (!context.wants(2)) return [];
    const [indices, depth, values] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
    const on = builder.op('OneHot', [indices, depth, builder.constant(float32([0, 1]))], { axis: intOf(node, 'axis', -1) });
    const total = (value: Value): Value => builder.op('Reshape', [builder.op('ReduceSum', [value], { keepdims: 0 }), builder.ints([1])]);
    const chosen = total(builder.op('Mul', [gradient, dtypeOf(values) === 'float32' ? on : builder.op('Cast', [on], { to: dataTypeCodes[dtypeOf(values)] })]));
    return [null, null, builder.op('Concat', [builder.op('Sub', [total(gradient), chosen]), chosen], { axis: 0 })];
  },
  TensorScatter: (context) => {
    // As ScatterElements at consecutive places along one axis, which begin elsewhere for every sample.
    const { builder, node, where, gradient } = context;
    const [cache, update] = [requiredInput(context, 0), requiredInput(context, 1)];
    const rank = shapeOf(cache).length;
    const axis = normalizeAxis(intOf(node, 'axis', -2), rank, where);
    const along = (value: Value, at: number): Value => builder.op('Reshape', [value, builder.ints(Array.from({ length: rank }, (_, i) => (i === at ? -1 : 1)))]);
    const begin = node.inputs[2];
    const steps = along(countTo(context, extentVector(context, update, axis)), axis);
    const places = begin ? builder.op('Add', [steps, along(begin, 0)]) : steps;
    const wrapped = stringOf(node, 'mode', 'linear') === 'circular' ? builder.op('Mod', [places, extentVector(context, cache, axis)]) : places;
    const full = builder.op('Expand', [wrapped, shapeVector(context, update)]);
    return [
      context.wants(0) ? builder.op('ScatterElements', [gradient, full, fullLike(context, update, 0)], { axis }) : null,
      context.wants(1) ? Object.assign(builder.op('GatherElements', [gradient, full], { axis }), { shape: update.shape }) : null,
    ];
  },
  ScatterElements: scatterRule('ScatterElements', 'GatherElements'),
  ScatterND: scatterRule('ScatterND', 'GatherND'),
  Trilu: (context) => {
    const { builder, node, gradient } = context;
    return [builder.op('Trilu', [gradient, node.inputs[1] ?? null], { upper: intOf(node, 'upper', 1) })];
  },
  ReverseSequence: (context) => {
    const { builder, node, gradient } = context;
    return [builder.op('ReverseSequence', [gradient, requiredInput(context, 1)], { batch_axis: intOf(node, 'batch_axis', 1), time_axis: intOf(node, 'time_axis', 0) })];
  },
  TopK: (context) => {
    // No index comes twice, so that nothing has to be summed.
    const { builder, node, gradient } = context;
    const x = requiredInput(context, 0);
    const indices = requiredOutput(context, 1);
    return [builder.op('ScatterElements', [fullLike(context, x, 0), indices, gradient], { axis: intOf(node, 'axis', -1) })];
  },
};

/** Constant indices: back by another Gather where no index comes twice, else by a matrix of ones. */
function gatherConstantly(context: RuleContext, axis: number, indices: readonly number[], extent: number): Value {
  const { builder, gradient } = context;
  const x = requiredInput(context, 0);
  const shape = shapeOf(x);
  const lined = reshapeTo(context, gradient, [...shape.slice(0, axis), indices.length, ...shape.slice(axis + 1)], [x, gradient]);
  if (new Set(indices).size < indices.length) {
    checkMatrixSize(context, indices.length, extent);
    return applyAlong(context, lined, axis, indices.map((index) => Array.from({ length: extent }, (_, i) => Number(i === index))));
  }
  const only = shape.map((_, i) => Number(i === axis));
  const [first] = indices;
  if (first !== undefined && indices.every((index, i) => index === first + i)) {
    if (indices.length === extent) return lined;
    return padTo(context, lined, only.map((own) => own * first), only.map((own) => own * (extent - first - indices.length)));
  }
  if (extent > longestList && builder.opset >= summingOpset) return gatherAtRunTime(context, axis);
  checkMatrixSize(context, extent, 1);
  const places = new Map(indices.map((index, i) => [index, i]));
  const sources = Array.from({ length: extent }, (_, i) => places.get(i) ?? indices.length);
  const padded = sources.includes(indices.length) ? padTo(context, lined, only.map(() => 0), only) : lined;
  return builder.op('Gather', [padded, builder.ints(sources)], { axis });
}

/** Ones where `indices` name a position of axis `of` of x, which becomes the axis `at`; for opsets without sums. */
function oneHot(context: RuleContext, indices: Value, of: number, at: number): Value {
  const { builder } = context;
  const x = requiredInput(context, 0);
  const count = product([shapeOf(x)[of], ...shapeOf(indices)]);
  if (typeof count === 'number' && count > oneHotLimit) needSums(context);
  // ONNX Runtime has it in single precision alone.
  const ones = builder.op('OneHot', [indices, builder.op('Reshape', [extentVector(context, x, of), builder.ints([])]), builder.constant(float32([0, 1]))], { axis: at });
  return dtypeOf(x) === 'float32' ? ones : builder.op('Cast', [ones], { to: dataTypeCodes[dtypeOf(x)] });
}

function gatherAtRunTime(context: RuleContext, axis: number): Value {
  const { builder, gradient } = context;
  const [x, indices] = [requiredInput(context, 0), requiredInput(context, 1)];
  const shape = shapeOf(x);
  const rank = shape.length;
  const flat = builder.op('Reshape', [indices, builder.ints([-1])]);
  const length = flat.shape?.[0];
  // [before, indices…, after] → [before, all indices, after].
  const target = builder.op('Concat', shape.map((_, i) => {
    if (i === axis) return builder.ints([-1]);
    const extent = shape[i]!;
    return typeof extent === 'number' ? builder.ints([extent]) : builder.op('Gather', [builder.op('Shape', [x]), builder.ints([i])], { axis: 0 });
  }), { axis: 0 });
  const lined = builder.op('Reshape', [gradient, target]);
  if (length !== undefined) lined.shape = shape.with(axis, length);
  if (builder.opset < summingOpset) {
    // [.., indices] · ones [indices, extent], with the axis last for it.
    const perm = [...shape.keys()].filter((at) => at !== axis);
    const product = builder.op('MatMul', [builder.op('Transpose', [lined], { perm: [...perm, axis] }), oneHot(context, flat, axis, 1)]);
    const back = [...shape.keys()].map((at) => [...perm, axis].indexOf(at));
    return Object.assign(builder.op('Transpose', [product], { perm: back }), { shape });
  }
  const column = builder.op('Reshape', [flat, builder.ints(Array.from({ length: rank }, (_, i) => (i === axis ? -1 : 1)))]);
  const spread = builder.op('Expand', [column, shapeVector(context, lined)]);
  return scatterReduced(builder, 'ScatterElements', [fullLike(context, x, 0), spread, lined], { axis, reduction: 'add' });
}

/** GatherND as Gather: along all axes that are indexed, made one. */
function gatherFlat(context: RuleContext, x: Value, indices: Value): Value {
  const { builder, where } = context;
  const last = shapeOf(indices).length - 1;
  const depth = shapeOf(indices)[last];
  if (typeof depth !== 'number') throw new UnsupportedError(`${where}: how many axes its indices name must be static.`);
  const place = Array.from({ length: depth }, (_, axis) => {
    const extent = extentVector(context, x, axis);
    const column = builder.op('Squeeze', [builder.op('Slice', [indices, builder.ints([axis]), builder.ints([axis + 1]), builder.ints([last])]), builder.ints([last])]);
    return { extent, at: builder.op('Where', [builder.op('Less', [column, builder.ints([0])]), builder.op('Add', [column, extent]), column]) };
  }).reduce((outer, { extent, at }) => ({ extent, at: builder.op('Add', [builder.op('Mul', [outer.at, extent]), at]) }));
  const rest = shapeOf(x).slice(depth);
  const target = builder.op('Concat', [builder.ints([-1]), ...rest.map((_, axis) => extentVector(context, x, depth + axis))], { axis: 0 });
  const lined = Object.assign(builder.op('Reshape', [x, target]), { shape: [product(shapeOf(x).slice(0, depth)) ?? `?${x.name}.places`, ...rest] });
  return builder.op('Gather', [lined, place.at], { axis: 0 });
}

/** Placing updates: what was overwritten receives nothing, the updates receive what stands in their place. */
function scatterRule(scatter: 'ScatterElements' | 'ScatterND', gather: 'GatherElements' | 'GatherND'): Rule {
  return (context) => {
    const { builder, node, where, gradient } = context;
    const reduction = stringOf(node, 'reduction', 'none');
    if (reduction === 'max' || reduction === 'min') return extremeScatter(context, scatter, gather);
    if (reduction === 'mul') return productScatter(context, scatter, gather);
    if (reduction !== 'none' && reduction !== 'add') throw new UnsupportedError(`${where}: reduction ${JSON.stringify(reduction)} cannot be differentiated.`);
    const [indices, updates] = [requiredInput(context, 1), requiredInput(context, 2)];
    const axis = scatter === 'ScatterElements' ? { axis: intOf(node, 'axis', 0) } : {};
    const kept = (): Value => (reduction === 'add' ? gradient : builder.op(scatter, [gradient, indices, fullLike(context, updates, 0)], axis));
    if (reduction === 'none' && context.wants(2) && hasRepeats(context, indices)) throw new UnsupportedError(`${where}: indices that come twice without a reduction have no defined gradient.`);
    return [
      context.wants(0) ? kept() : null,
      null,
      context.wants(2) ? Object.assign(builder.op(gather, [gradient, indices], axis), { shape: updates.shape }) : null,
    ];
  };
}

/** The largest or smallest of what was there and the updates; where several are equal, they share the gradient evenly. */
function extremeScatter(context: RuleContext, scatter: 'ScatterElements' | 'ScatterND', gather: 'GatherElements' | 'GatherND'): (Value | null)[] {
  const { builder, node, gradient } = context;
  const [x, indices, updates, y] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2), requiredOutput(context)];
  const axis = scatter === 'ScatterElements' ? { axis: intOf(node, 'axis', 0) } : {};
  const held = (value: Value, result: Value): Value => builder.op('Cast', [builder.op('Equal', [value, result])], { to: dataTypeCodes[dtypeOf(x)] });
  const [before, after] = [held(x, y), held(updates, builder.op(gather, [y, indices], axis))];
  const share = builder.op('Div', [gradient, scatterReduced(builder, scatter, [before, indices, after], { ...axis, reduction: 'add' })]);
  return [builder.op('Mul', [share, before]), null, Object.assign(builder.op('Mul', [builder.op(gather, [share, indices], axis), after]), { shape: updates.shape })];
}

/** What was there times the updates: each factor gets the product of the others, from the product of those that are not zero. */
function productScatter(context: RuleContext, scatter: 'ScatterElements' | 'ScatterND', gather: 'GatherElements' | 'GatherND'): (Value | null)[] {
  const { builder, node, gradient } = context;
  const [x, indices, updates] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
  const axis = scatter === 'ScatterElements' ? { axis: intOf(node, 'axis', 0) } : {};
  const zero = builder.scalar(0, x);
  const split = (factor: Value): { safe: Value; zeros: Value } => {
    const isZero = builder.op('Equal', [factor, zero]);
    return { safe: builder.op('Where', [isZero, builder.scalar(1, x), factor]), zeros: builder.op('Cast', [isZero], { to: dataTypeCodes[dtypeOf(x)] }) };
  };
  const [own, put] = [split(x), split(updates)];
  const product = scatterReduced(builder, scatter, [own.safe, indices, put.safe], { ...axis, reduction: 'mul' });
  const zeros = scatterReduced(builder, scatter, [own.zeros, indices, put.zeros], { ...axis, reduction: 'add' });
  const others = (factor: { safe: Value; zeros: Value }, of: (value: Value) => Value): Value => {
    const noZero = builder.op('Equal', [builder.op('Sub', [of(zeros), factor.zeros]), zero]);
    return builder.op('Mul', [builder.op('Where', [noZero, builder.op('Div', [of(product), factor.safe]), zero]), of(gradient)]);
  };
  return [
    context.wants(0) ? others(own, (value) => value) : null,
    null,
    context.wants(2) ? Object.assign(others(put, (value) => builder.op(gather, [value, indices], axis)), { shape: updates.shape }) : null,
  ];
}

/** Whether constant indices of a vector come twice; others are the model's responsibility, as ONNX has it. */
function hasRepeats(context: RuleContext, indices: Value): boolean {
  const known = knownInts(indices);
  return indices.shape?.length === 1 && known !== undefined && new Set(known).size < known.length && context.node.opType === 'ScatterElements';
}
