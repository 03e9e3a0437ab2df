/** Operators of detection networks, through plain operators that compute the same. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { windowOf } from '../../ops/convolution.js';
import { floatOf, intOf, intsOf, stringOf } from '../../ops/operator.js';
import { checkMatrixSize, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';
import { padTo } from './padding.js';

/** Extents that must be numbers. */
function fixedExtents({ where }: RuleContext, value: Value, axes: readonly number[]): number[] {
  return axes.map((axis) => {
    const extent = shapeOf(value)[axis];
    if (typeof extent !== 'number') throw new UnsupportedError(`${where}: extent ${axis} of ${JSON.stringify(value.name)} must be known.`);
    return extent;
  });
}

/** Cropping and padding around the centre: whatever is odd goes to the end. */
const centerCropPad: Rule = (context) => {
  const { builder } = context;
  const [x, y] = [requiredInput(context, 0), requiredOutput(context)];
  const [from, to] = [shapeOf(x), shapeOf(y)];
  const moved = [...from.keys()].filter((axis) => from[axis] !== to[axis]);
  const [given, wanted] = [fixedExtents(context, x, moved), fixedExtents(context, y, moved)];
  return context.expand(() => {
    const starts = moved.map((_, i) => Math.max(0, Math.floor((given[i]! - wanted[i]!) / 2)));
    const ends = starts.map((start, i) => start + Math.min(given[i]!, wanted[i]!));
    const cropped = moved.length === 0 ? builder.op('Identity', [x]) : builder.op('Slice', [x, builder.ints(starts), builder.ints(ends), builder.ints(moved)]);
    const missing = from.map((_, axis) => (moved.includes(axis) ? Math.max(0, wanted[moved.indexOf(axis)]! - given[moved.indexOf(axis)]!) : 0));
    return missing.some((count) => count > 0) ? padTo(context, cropped, missing.map((count) => Math.floor(count / 2)), missing.map((count) => Math.ceil(count / 2))) : cropped;
  }, [x]);
};

/**
 * Averages of bilinear samples are separable: every region is A_y · X · A_xᵀ, where a row of A averages the tents
 * max(0, 1 − |position − pixel|) of its samples. The positions come from the regions, so that these have gradients too.
 */
const roiAlign: Rule = (context) => {
  const { builder: b, node, where } = context;
  const [x, rois, batch] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
  if (stringOf(node, 'mode', 'avg') !== 'avg') throw new UnsupportedError(`${where}: mode "max" cannot be differentiated.`);
  const samples = intOf(node, 'sampling_ratio', 0);
  if (samples < 1) throw new UnsupportedError(`${where}: sampling_ratio 0, by which the number of samples depends on the regions, cannot be differentiated.`);
  const centred = stringOf(node, 'coordinate_transformation_mode', b.opset >= 16 ? 'half_pixel' : 'output_half_pixel') === 'half_pixel';
  const scale = floatOf(node, 'spatial_scale', 1);
  const [height, width] = fixedExtents(context, x, [2, 3]) as [number, number];
  const c = (value: number): Value => b.scalar(value, rois);

  /** [R, bins, extent]: how much of every pixel is in every bin. */
  const averages = (column: number, bins: number, extent: number): Value => {
    checkMatrixSize(context, bins, bins * samples);
    const corner = (at: number): Value => {
      const scaled = b.op('Mul', [b.op('Slice', [rois, b.ints([at]), b.ints([at + 1]), b.ints([1])]), c(scale)]);
      return centred ? b.op('Sub', [scaled, c(0.5)]) : scaled;
    };
    const [start, end] = [corner(column), corner(column + 2)];
    const size = b.op('Sub', [end, start]);
    const bin = b.op('Mul', [centred ? size : b.op('Max', [size, c(1)]), c(1 / bins)]);
    const places = Array.from({ length: bins * samples }, (_, i) => Math.floor(i / samples) + ((i % samples) + 0.5) / samples);
    const position = b.op('Add', [start, b.op('Mul', [bin, b.constant(floats(dtypeOf(rois), places, [1, places.length]), 'places')])]);
    const inside = b.op('Cast', [b.op('And', [b.op('GreaterOrEqual', [position, c(-1)]), b.op('LessOrEqual', [position, c(extent)])])], { to: dataTypeCodes[dtypeOf(rois)] });
    const clipped = b.op('Unsqueeze', [b.op('Clip', [position, c(0), c(extent - 1)]), b.ints([2])]);
    const pixels = b.constant(floats(dtypeOf(rois), Array.from({ length: extent }, (_, i) => i)), 'pixels');
    const tents = b.op('Relu', [b.op('Sub', [c(1), b.op('Abs', [b.op('Sub', [clipped, pixels])])])]);
    const mean = Array.from({ length: bins * bins * samples }, (_, i) => (Math.floor((i % (bins * samples)) / samples) === Math.floor(i / (bins * samples)) ? 1 / samples : 0));
    return b.op('MatMul', [b.constant(floats(dtypeOf(rois), mean, [bins, bins * samples]), 'mean'), b.op('Mul', [tents, b.op('Unsqueeze', [inside, b.ints([2])])])]);
  };
  const [dx, drois] = context.expand(() => {
    const rows = b.op('Unsqueeze', [averages(1, intOf(node, 'output_height', 1), height), b.ints([1])]);
    const columns = b.op('Unsqueeze', [b.op('Transpose', [averages(0, intOf(node, 'output_width', 1), width)], { perm: [0, 2, 1] }), b.ints([1])]);
    return b.op('MatMul', [b.op('MatMul', [rows, b.op('Gather', [x, batch], { axis: 0 })]), columns]);
  }, [x, rois]);
  return [dx ?? null, drois ?? null, null];
};

/** Bilinear samples at the shifted taps of the window, times the mask, then a convolution of extent 1 over channels and taps. */
const deformConv: Rule = (context) => {
  const { builder: b, node, where } = context;
  const [x, weight, offset] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
  const [bias, mask] = [node.inputs[3] ?? null, node.inputs[4] ?? null];
  if (shapeOf(x).length !== 4) throw new UnsupportedError(`${where}: only images [N, C, H, W] can be differentiated.`);
  const [channels, height, width] = fixedExtents(context, x, [1, 2, 3]) as [number, number, number];
  const [filters, perGroup, ...kernel] = fixedExtents(context, weight, [0, 1, 2, 3]) as [number, number, number, number];
  const [rows, columns] = fixedExtents(context, offset, [2, 3]) as [number, number];
  const groups = intOf(node, 'offset_group', 1);
  const window = windowOf(node, intsOf(node, 'kernel_shape') ?? kernel, [height, width], where);
  const taps = kernel[0] * kernel[1];
  checkMatrixSize(context, taps, rows * columns);

  /** [N, taps, rows, columns] of channels `first`, `first + step`, … */
  const channelsOf = (value: Value, first: number, step: number): Value => b.op('Gather', [value, b.ints(Array.from({ length: taps }, (_, tap) => first + tap * step))], { axis: 1 });
  /** Where the taps of a window are along an axis, and their offsets, from −1 to 1 over the image. */
  const coordinates = (axis: number, shift: Value): Value => {
    const extent = axis === 0 ? height : width;
    const base = Array.from({ length: taps * rows * columns }, (_, i) => {
      const [tap, row, column] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
      const [window0, at] = axis === 0 ? [row, Math.floor(tap / kernel[1])] : [column, tap % kernel[1]];
      return window0 * window.strides[axis]! + at * window.dilations[axis]! - window.begin[axis]!;
    });
    const position = b.op('Add', [shift, b.constant(floats(dtypeOf(x), base, [1, taps, rows, columns]), 'base')]);
    return b.op('Unsqueeze', [b.op('Add', [b.op('Mul', [position, b.scalar(2 / extent, x)]), b.scalar(1 / extent - 1, x)]), b.ints([4])]);
  };
  const inputs = [x, weight, offset, bias, mask].filter((value) => value !== null);
  const gradients = context.expand(() => {
    const share = channels / groups;
    const sampled = Array.from({ length: groups }, (_, group) => {
      const [y, across] = [0, 1].map((axis) => coordinates(axis, channelsOf(offset, 2 * group * taps + axis, 2))) as [Value, Value];
      const grid = b.op('Reshape', [b.op('Concat', [across, y], { axis: 4 }), b.ints([-1, taps * rows, columns, 2])]);
      const part = groups === 1 ? x : b.op('Slice', [x, b.ints([group * share]), b.ints([(group + 1) * share]), b.ints([1])]);
      const values = b.op('GridSample', [part, grid], { mode: b.opset >= 20 ? 'linear' : 'bilinear', padding_mode: 'zeros', align_corners: 0 });
      const shaped = b.op('Reshape', [values, b.ints([-1, share, taps, rows, columns])]);
      return mask ? b.op('Mul', [shaped, b.op('Unsqueeze', [channelsOf(mask, group * taps, 1), b.ints([1])])]) : shaped;
    });
    const joined = sampled.length === 1 ? sampled[0]! : b.op('Concat', sampled, { axis: 1 });
    const image = Object.assign(b.op('Reshape', [joined, b.ints([-1, channels * taps, rows, columns])]), { shape: [shapeOf(x)[0]!, channels * taps, rows, columns] });
    return b.op('Conv', [image, b.op('Reshape', [weight, b.ints([filters, perGroup * taps, 1, 1])]), bias], {
      kernel_shape: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: intOf(node, 'group', 1),
    });
  }, inputs);
  return [x, weight, offset, bias, mask].map((value) => (value ? gradients[inputs.indexOf(value)] ?? null : null));
};

export const visionRules: Readonly<Record<string, Rule>> = { CenterCropPad: centerCropPad, DeformConv: deformConv, RoiAlign: roiAlign };
