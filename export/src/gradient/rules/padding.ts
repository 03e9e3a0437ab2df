/** Adjoints of padding: cropping, and folding mirrored borders back. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { knownInts, normalizeAxis } from '../../ops/operator.js';
import { backThroughUnits } from './moving.js';
import { applyAlong, checkMatrixSize, requiredInput, type RuleContext } from '../rule.js';

/** Adds zeros. */
export function padTo({ builder }: RuleContext, value: Value, before: readonly number[], after: readonly number[]): Value {
  return builder.op('Pad', [value, builder.ints([...before, ...after]), builder.scalar(0, value)]);
}

/** Amounts before and after every axis of a Pad node, when they are known. */
function amountsOf({ node, where }: RuleContext, rank: number): { before: number[]; after: number[] } | undefined {
  const pads = knownInts(node.inputs[1]);
  const axes = node.inputs[3] ? knownInts(node.inputs[3]) : Array.from({ length: rank }, (_, axis) => axis);
  if (!pads || !axes) return undefined;
  const before = Array.from({ length: rank }, () => 0);
  const after = [...before];
  axes.forEach((given, i) => {
    const axis = normalizeAxis(given, rank, where);
    before[axis] = pads[i]!;
    after[axis] = pads[i + axes.length]!;
  });
  return { before, after };
}

export function constantPadGradient(context: RuleContext): Value {
  const { builder, node, gradient } = context;
  const shape = shapeOf(requiredInput(context, 0));
  const amounts = amountsOf(context, shape.length);
  const cropped = (): Value => {
    if (!amounts) {
      return builder.op('Pad', [gradient, builder.op('Neg', [requiredInput(context, 1)]), builder.scalar(0, gradient), node.inputs[3] ?? null]);
    }
    const { before, after } = amounts;
    if ([...before, ...after].some((pad) => pad < 0)) return builder.op('Pad', [gradient, builder.ints([...before, ...after].map((pad) => -pad)), builder.scalar(0, gradient)]);
    const axes = shape.flatMap((_, axis) => (before[axis] !== 0 || after[axis] !== 0 ? [axis] : []));
    if (axes.length === 0) return gradient;
    const ends = axes.map((axis) => (after[axis] === 0 ? 2 ** 31 - 1 : -after[axis]!));
    return builder.op('Slice', [gradient, builder.ints(axes.map((axis) => before[axis]!)), builder.ints(ends), builder.ints(axes)]);
  };
  return Object.assign(cropped(), { shape });
}

/** For each padded position along an axis, the position that it repeats; amounts below zero crop first. */
function sourcesOf(mode: string, extent: number, before: number, after: number, where: string): number[] {
  const cropped = [before, after].map((amount) => Math.max(0, -amount)) as [number, number];
  if (cropped[0] + cropped[1] > 0) return sourcesOf(mode, extent - cropped[0] - cropped[1], before + cropped[0], after + cropped[1], where).map((source) => source + cropped[0]);
  return Array.from({ length: extent + before + after }, (_, i) => {
    const at = i - before;
    switch (mode) {
      case 'edge': return Math.min(extent - 1, Math.max(0, at));
      case 'wrap': return ((at % extent) + extent) % extent;
      case 'reflect': {
        const period = 2 * (extent - 1);
        const folded = period === 0 ? 0 : ((at % period) + period) % period;
        return folded < extent ? folded : period - folded;
      }
      default: throw new UnsupportedError(`${where}: padding of mode ${JSON.stringify(mode)} cannot be differentiated.`);
    }
  });
}

export function mirroredPadGradient(context: RuleContext, mode: string): Value {
  const { where, gradient } = context;
  const shape = shapeOf(requiredInput(context, 0));
  const amounts = amountsOf(context, shape.length);
  if (!amounts) throw new UnsupportedError(`${where}: the amounts of ${mode} padding must be constants.`);
  let result = gradient;
  for (const [axis, extent] of shape.entries()) {
    const [before, after] = [amounts.before[axis]!, amounts.after[axis]!];
    if (before === 0 && after === 0) continue;
    if (typeof extent !== 'number') {
      result = backThroughUnits(context, result, axis, (units) => context.builder.op('Pad', [units, context.builder.ints([0, 0, before, 0, 0, 0, after, 0])], { mode }));
      continue;
    }
    checkMatrixSize(context, extent + before + after, extent);
    const matrix = sourcesOf(mode, extent, before, after, where).map((source) => Array.from({ length: extent }, (_, i) => Number(i === source)));
    result = applyAlong(context, result, axis, matrix);
  }
  return result;
}
