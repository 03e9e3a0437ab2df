/**
 * Sampling at positions that a tensor holds (spatial transformers): through plain operators, each tap a GatherElements
 * from the image as one line, so that both the image and the positions have their gradients.
 */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats, int64 } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { intOf, knownInts, stringOf } from '../../ops/operator.js';
import { checkMatrixSize, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

/** One position along one axis that is read, [N, 1, P], and how much it counts. */
interface Tap {
  readonly index: Value;
  readonly weight: Value | null;
}

class Sampler {
  readonly #context: RuleContext;
  readonly #corners: boolean;
  readonly #padding: string;
  readonly #mode: string;

  constructor(context: RuleContext) {
    const { node, where } = context;
    this.#context = context;
    this.#corners = intOf(node, 'align_corners', 0) === 1;
    this.#padding = stringOf(node, 'padding_mode', 'zeros');
    // Opset 16 says bilinear and bicubic, opset 20 linear and cubic.
    this.#mode = stringOf(node, 'mode', 'linear').replace(/^bi/, '');
    if (!['linear', 'nearest', 'cubic'].includes(this.#mode)) throw new UnsupportedError(`${where}: mode ${JSON.stringify(this.#mode)} is not known.`);
    if (!['zeros', 'border', 'reflection'].includes(this.#padding)) throw new UnsupportedError(`${where}: padding_mode ${JSON.stringify(this.#padding)} is not known.`);
  }

  /** Taps along an axis of `extent` elements, for coordinates that run from −1 to 1. */
  taps(coordinates: Value, extent: number): Tap[] {
    const b = this.#context.builder;
    const c = (value: number): Value => b.scalar(value, coordinates);
    // (g + 1) / 2 · (extent − 1), or ((g + 1) · extent − 1) / 2.
    const factor = (this.#corners ? extent - 1 : extent) / 2;
    let position = b.op('Add', [b.op('Mul', [coordinates, c(factor)]), c(this.#corners ? factor : factor - 0.5)]);
    if (this.#mode === 'nearest') position = b.op('Round', [position]);
    // Between the border and what repeats it, cubic interpolation overshoots: there each tap moves inside, not the position.
    if (this.#mode !== 'cubic' || this.#padding !== 'border') position = this.#fold(position, extent);
    if (this.#mode === 'nearest') return [this.#tap(position, null, extent)];
    const floor = b.op('Floor', [position]);
    const t = b.op('Sub', [position, floor]);
    if (this.#mode === 'linear') return [this.#tap(floor, b.op('Sub', [c(1), t]), extent), this.#tap(b.op('Add', [floor, c(1)]), t, extent)];
    return [-1, 0, 1, 2].map((offset) => this.#tap(b.op('Add', [floor, c(offset)]), this.#cubic(b.op('Abs', [b.op('Sub', [t, c(offset)])]), Math.abs(offset - 0.5) > 1), extent));
  }

  /** Keys's cubic with a = −0.75 at distance d, which is beyond 1 for the outer taps. */
  #cubic(d: Value, outer: boolean): Value {
    const b = this.#context.builder;
    const a = -0.75;
    const coefficients = outer ? [a, -5 * a, 8 * a, -4 * a] : [a + 2, -(a + 3), 0, 1];
    return coefficients.slice(1).reduce((value, coefficient) => b.op('Add', [b.op('Mul', [value, d]), b.scalar(coefficient, d)]), b.scalar(coefficients[0]!, d));
  }

  /** Positions outside, moved inside as padding_mode says. */
  #fold(position: Value, extent: number): Value {
    const b = this.#context.builder;
    const c = (value: number): Value => b.scalar(value, position);
    if (this.#padding === 'border') return b.op('Clip', [position, c(0), c(extent - 1)]);
    if (this.#padding !== 'reflection') return position;
    const [low, span] = this.#corners ? [0, extent - 1] : [-0.5, extent];
    if (span === 0) return b.op('Mul', [position, c(0)]);
    // A triangle wave: span − | (|p − low| mod 2 span) − span | + low.
    const distance = b.op('Abs', [b.op('Sub', [position, c(low)])]);
    const rest = b.op('Sub', [distance, b.op('Mul', [b.op('Floor', [b.op('Mul', [distance, c(1 / (2 * span))])]), c(2 * span)])]);
    return b.op('Sub', [c(span + low), b.op('Abs', [b.op('Sub', [rest, c(span)])])]);
  }

  /** A whole position: outside it counts nothing with zeros, and is the nearest inside, or its mirror image, otherwise. */
  #tap(position: Value, weight: Value | null, extent: number): Tap {
    const b = this.#context.builder;
    const c = (value: number): Value => b.scalar(value, position);
    const inside = b.op('Clip', [this.#padding === 'reflection' ? this.#fold(position, extent) : position, c(0), c(extent - 1)]);
    const index = b.op('Cast', [inside], { to: dataTypeCodes.int64 });
    if (this.#padding !== 'zeros') return { index, weight };
    const held = b.op('Cast', [b.op('Equal', [inside, position])], { to: dataTypeCodes[dtypeOf(position)] });
    return { index, weight: weight ? b.op('Mul', [weight, held]) : held };
  }
}

const gridSample: Rule = (context) => {
  const { builder, where } = context;
  const [x, grid, y] = [requiredInput(context, 0), requiredInput(context, 1), requiredOutput(context)];
  const [n, channels, ...extents] = shapeOf(x);
  if (typeof channels !== 'number' || !extents.every((extent) => typeof extent === 'number')) throw new UnsupportedError(`${where}: all extents of the image but the first must be static, got [${shapeOf(x).join(', ')}].`);
  return context.expand(() => {
    const sampler = new Sampler(context);
    const line = builder.op('Reshape', [x, builder.ints([0, channels, -1])]);
    line.shape = [n!, channels, extents.reduce((a, b) => a * b, 1)];
    // The last axis of the grid counts the image's axes from the last.
    const axes = extents.map((extent, axis) => {
      const single = builder.op('Gather', [grid, builder.constant(int64([extents.length - 1 - axis], []))], { axis: extents.length + 1 });
      const row = builder.op('Reshape', [single, builder.ints([0, 1, -1])]);
      return sampler.taps(row, extent).map(({ index, weight }): Tap => ({ index: builder.op('Mul', [index, builder.constant(int64([extents.slice(axis + 1).reduce((a, b) => a * b, 1)], []))]), weight }));
    });
    const combined = axes.reduce<Tap[]>((taps, axis) => taps.flatMap((left) => axis.map((right): Tap => ({
      index: builder.op('Add', [left.index, right.index]),
      weight: left.weight && right.weight ? builder.op('Mul', [left.weight, right.weight]) : (left.weight ?? right.weight),
    }))), axes.shift()!);
    const terms = combined.map(({ index, weight }) => {
      const spread = builder.op('Expand', [index, builder.ints([1, channels, 1])]);
      const picked = builder.op('GatherElements', [line, spread], { axis: 2 });
      return weight ? builder.op('Mul', [picked, weight]) : picked;
    });
    const sum = terms.reduce((a, b) => builder.op('Add', [a, b]));
    return Object.assign(builder.op('Reshape', [sum, builder.reshapeTarget(y)]), { shape: y.shape });
  }, [x, grid]);
};

const affineGrid: Rule = (context) => {
  const { builder, node } = context;
  const [theta, y] = [requiredInput(context, 0), requiredOutput(context)];
  const size = requiredInput(context, 1).content?.slice(2) ?? knownInts(node.inputs[1])?.slice(2);
  if (!size?.every((extent) => typeof extent === 'number')) return affineGridOfAnySize(context);
  checkMatrixSize(context, size.reduce((a, b) => a * b, 1), size.length + 1);
  const corners = intOf(node, 'align_corners', 0) === 1;
  const at = (i: number, extent: number): number => (corners ? (extent === 1 ? 0 : -1 + (2 * i) / (extent - 1)) : -1 + (2 * i + 1) / extent);
  const points = size.reduce<number[][]>((list, extent) => list.flatMap((point) => Array.from({ length: extent }, (_, i) => [at(i, extent), ...point])), [[]]);
  return context.expand(() => {
    // Rows are (x, y, …, 1): grid [N, P, d] = base [P, d + 1] · θᵀ.
    const base = builder.constant(floats(dtypeOf(theta), points.flatMap((point) => [...point, 1]), [points.length, size.length + 1]), 'grid');
    const product = builder.op('MatMul', [base, builder.op('Transpose', [theta], { perm: [0, 2, 1] })]);
    return Object.assign(builder.op('Reshape', [product, builder.ints([0, ...size, size.length])]), { shape: y.shape });
  }, [theta]);
};

/** The grid of the identity is the base of all others. */
function affineGridOfAnySize(context: RuleContext): (Value | null)[] {
  const { builder, node } = context;
  const [theta, size, y] = [requiredInput(context, 0), requiredInput(context, 1), requiredOutput(context)];
  const rank = shapeOf(y).length - 2;
  const identity = builder.constant(floats(dtypeOf(theta), Array.from({ length: rank * (rank + 1) }, (_, i) => Number(Math.floor(i / (rank + 1)) === i % (rank + 1))), [1, rank, rank + 1]), 'identity');
  return context.expand(() => {
    const extents = builder.op('Concat', [builder.ints([1]), builder.op('Slice', [size, builder.ints([1]), builder.ints([rank + 2])])], { axis: 0 });
    const points = builder.op('Reshape', [builder.op('AffineGrid', [identity, extents], { align_corners: intOf(node, 'align_corners', 0) }), builder.ints([-1, rank])]);
    const base = builder.op('Pad', [points, builder.ints([0, 0, 0, 1]), builder.scalar(1, theta)]);
    const product = builder.op('MatMul', [base, builder.op('Transpose', [theta], { perm: [0, 2, 1] })]);
    return Object.assign(builder.op('Reshape', [product, builder.op('Shape', [y])]), { shape: y.shape });
  }, [theta]);
}

export const samplingRules: Readonly<Record<string, Rule>> = { GridSample: gridSample, AffineGrid: affineGrid };
