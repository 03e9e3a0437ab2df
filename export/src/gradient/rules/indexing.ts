/** Picking and placing elements by index. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { intOf, knownInts, normalizeAxis, stringOf } from '../../ops/operator.js';
import { applyAlong, checkMatrixSize, fullLike, requiredInput, requiredOutput, reshapeTo, shapeVector, type Rule, type RuleContext } from '../rule.js';
import { padTo } from './padding.js';

/** Sums at repeated indices need ScatterElements with a reduction. */
const summingOpset = 16;

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
    needSums(context);
    const { builder, node, gradient } = context;
    const x = requiredInput(context, 0);
    return [builder.op('ScatterElements', [fullLike(context, x, 0), requiredInput(context, 1), gradient], { axis: intOf(node, 'axis', 0), reduction: 'add' })];
  },
  GatherND: (context) => {
    const { builder, node, where, gradient } = context;
    needSums(context);
    if (intOf(node, 'batch_dims', 0) !== 0) throw new UnsupportedError(`${where}: batch_dims other than 0 cannot be differentiated.`);
    return [builder.op('ScatterND', [fullLike(context, requiredInput(context, 0), 0), requiredInput(context, 1), gradient], { reduction: 'add' })];
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
  checkMatrixSize(context, extent, 1);
  const places = new Map(indices.map((index, i) => [index, i]));
  const sources = Array.from({ length: extent }, (_, i) => places.get(i) ?? indices.length);
  const padded = sources.includes(indices.length) ? padTo(context, lined, only.map(() => 0), only) : lined;
  return builder.op('Gather', [padded, builder.ints(sources)], { axis });
}

function gatherAtRunTime(context: RuleContext, axis: number): Value {
  needSums(context);
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
  const column = builder.op('Reshape', [flat, builder.ints(Array.from({ length: rank }, (_, i) => (i === axis ? -1 : 1)))]);
  const spread = builder.op('Expand', [column, shapeVector(context, lined)]);
  return builder.op('ScatterElements', [fullLike(context, x, 0), spread, lined], { axis, reduction: 'add' });
}

/** Placing updates: what was overwritten receives nothing, the updates receive what stands in their place. */
function scatterRule(scatter: 'ScatterElements' | 'ScatterND', gather: 'GatherElements' | 'GatherND'): Rule {
  return (context) => {
    const { builder, node, where, gradient } = context;
    const reduction = stringOf(node, 'reduction', 'none');
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

/** Whether constant indices of a vector come twice; others are the model's responsibility, as ONNX has it. */
function hasRepeats(context: RuleContext, indices: Value): boolean {
  const known = knownInts(indices);
  return indices.shape?.length === 1 && known !== undefined && new Set(known).size < known.length && context.node.opType === 'ScatterElements';
}
