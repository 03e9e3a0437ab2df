/** ConvTranspose is the adjoint of Conv: its own adjoint is a Conv with the same kernel. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Node } from '../../ir/types.js';
import { windowOf, type Window } from '../../ops/convolution.js';
import { intOf, intsOf, stringOf } from '../../ops/operator.js';
import { kernelGradient } from './convolution.js';
import { requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

/** The window with the padding that the node really has: output_shape and auto_pad determine it. */
function resolvedWindow(context: RuleContext, kernel: readonly number[]): Window {
  const { node, where } = context;
  const explicit: Node = { ...node, attributes: new Map([...node.attributes].filter(([name]) => name !== 'auto_pad')) };
  const window = windowOf(explicit, kernel, [], where);
  const mode = stringOf(node, 'auto_pad', 'NOTSET');
  if (mode === 'VALID') return { ...window, begin: kernel.map(() => 0), end: kernel.map(() => 0) };
  if (mode === 'NOTSET' && !intsOf(node, 'output_shape')) return window;
  const [inputs, outputs] = [shapeOf(requiredInput(context, 0)).slice(2), shapeOf(requiredOutput(context)).slice(2)];
  const extra = intsOf(node, 'output_padding') ?? kernel.map(() => 0);
  const totals = kernel.map((extent, axis) => {
    const [from, to] = [inputs[axis], outputs[axis]];
    if (typeof from !== 'number' || typeof to !== 'number') throw new UnsupportedError(`${where}: output_shape and auto_pad need static spatial extents.`);
    const total = window.strides[axis]! * (from - 1) + extra[axis]! + (extent - 1) * window.dilations[axis]! + 1 - to;
    if (total < 0) throw new UnsupportedError(`${where}: an output_shape beyond what the kernel reaches cannot be differentiated.`);
    return total;
  });
  const small = totals.map((total) => Math.floor(total / 2));
  const large = totals.map((total, axis) => total - small[axis]!);
  // SAME_UPPER puts the odd element at the end; an output_shape alone, at the beginning.
  return mode === 'SAME_UPPER' ? { ...window, begin: small, end: large } : { ...window, begin: large, end: small };
}

export const transposedConvolutionRules: Readonly<Record<string, Rule>> = {
  ConvTranspose: (context) => {
    const { builder, node, where, gradient } = context;
    const [x, w] = [requiredInput(context, 0), requiredInput(context, 1)];
    const kernelShape = shapeOf(w);
    if (kernelShape.some((dim) => typeof dim !== 'number')) throw new UnsupportedError(`${where}: the kernel's shape must be static.`);
    const kernel = kernelShape.slice(2) as number[];
    const group = intOf(node, 'group', 1);
    const window = resolvedWindow(context, kernel);
    const extra = intsOf(node, 'output_padding') ?? kernel.map(() => 0);
    if (extra.some((pad, axis) => pad >= window.strides[axis]!)) throw new UnsupportedError(`${where}: output_padding as large as the stride cannot be differentiated.`);
    const rest = kernel.map((_, axis) => axis + 2);
    const pads = [...window.begin, ...window.end];
    const bias = node.inputs[2];
    return [
      context.wants(0)
        ? Object.assign(builder.op('Conv', [gradient, w], { kernel_shape: kernel, strides: window.strides, dilations: window.dilations, group, pads }), { shape: x.shape })
        : null,
      // As the Conv would have it whose input is the output's gradient.
      context.wants(1) ? kernelGradient(context, gradient, x, window, group) : null,
      bias && context.wants(2) ? builder.op('ReduceSum', [gradient, builder.ints([0, ...rest])], { keepdims: 0 }) : null,
    ];
  },
};
