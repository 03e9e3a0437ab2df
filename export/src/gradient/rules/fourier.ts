/** Fourier transforms: linear along an axis, so their adjoints are products with the cosines and sines of their own definition. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import type { Value } from '../../ir/types.js';
import { intOf, knownInts } from '../../ops/operator.js';
import { dftLength } from '../../ops/fourier.js';
import { applyAlong, checkMatrixSize, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

/** f(2π k t / length) for rows k and columns t; zero where t is beyond the transform. */
const waves = (f: (angle: number) => number, rows: number, columns: number, length: number): number[][] =>
  Array.from({ length: rows }, (_, k) => Array.from({ length: columns }, (_, t) => (t < length ? f((2 * Math.PI * ((k * t) % length)) / length) : 0)));

/** Real (0) or imaginary (1) parts, which lie on the last axis. */
const part = ({ builder }: RuleContext, value: Value, index: number): Value =>
  builder.op('Slice', [value, builder.ints([index]), builder.ints([index + 1]), builder.ints([shapeOf(value).length - 1])]);

/**
 * y[k] = c Σ w[t] x[t] exp(−s 2πi k t / L), s = 1, or −1 and c = 1/L for the inverse. Real inputs have one part, one-sided
 * spectra stand for both of their sides: w = 2 but for the ends that are their own mirror image.
 */
const dft: Rule = (context) => {
  const { builder, node, where, gradient } = context;
  const x = requiredInput(context, 0);
  const shape = shapeOf(x);
  const transform = dftLength(node, where);
  const extent = transform && shape[transform.axis];
  if (!transform || typeof extent !== 'number') throw new UnsupportedError(`${where}: its axis, its length and the extent along it must be known.`);
  const { axis, length } = transform;
  const inverse = intOf(node, 'inverse', 0) === 1;
  const hermitian = inverse && intOf(node, 'onesided', 0) === 1;
  const outputs = shapeOf(requiredOutput(context))[axis] as number;
  const reached = hermitian ? Math.floor(length / 2) + 1 : length;
  checkMatrixSize(context, outputs, extent);
  const factor = (t: number): number => (t >= reached ? 0 : (inverse ? 1 / length : 1) * (hermitian && t > 0 && 2 * t !== length ? 2 : 1));
  const matrix = (f: (angle: number) => number): number[][] => waves(f, outputs, extent, length).map((row) => row.map((value, t) => (value === 0 ? 0 : value * factor(t))));
  const cosines = matrix(Math.cos);
  const sines = matrix((angle) => (inverse ? -1 : 1) * Math.sin(angle));
  const along = (value: Value, weights: number[][]): Value => applyAlong(context, value, axis, weights);
  const [real, imaginary] = [part(context, gradient, 0), hermitian ? null : part(context, gradient, 1)];
  const minus = (a: Value, b: Value | null): Value => (b ? builder.op('Sub', [a, b]) : a);
  const plus = (a: Value, b: Value | null): Value => (b ? builder.op('Add', [a, b]) : a);
  const ofReal = minus(along(real, cosines), imaginary && along(imaginary, sines));
  if (shape.at(-1) === 1) return [ofReal];
  return [builder.op('Concat', [ofReal, plus(along(real, sines), imaginary && along(imaginary, cosines))], { axis: shape.length - 1 })];
};

/** Through its definition: frames of the signal times the window, times cosines and sines. */
const stft: Rule = (context) => {
  const { builder, node, where } = context;
  const signal = requiredInput(context, 0);
  const window = node.inputs[2] ?? null;
  const shape = shapeOf(signal);
  const output = shapeOf(requiredOutput(context));
  const step = knownInts(requiredInput(context, 1))?.[0];
  const length = node.inputs[3] ? knownInts(node.inputs[3])?.[0] : window?.shape?.[0];
  const [, frames, bins] = output;
  if (shape.length === 3 && shape[2] !== 1) throw new UnsupportedError(`${where}: complex signals cannot be differentiated.`);
  if (step === undefined || typeof length !== 'number' || typeof frames !== 'number' || typeof bins !== 'number') throw new UnsupportedError(`${where}: its frame step, its frame length and the signal's length must be known.`);
  checkMatrixSize(context, length, 2 * bins);
  checkMatrixSize(context, frames, length);
  const [cosines, sines] = [waves(Math.cos, bins, length, length), waves(Math.sin, bins, length, length)];
  const basis = Array.from({ length }, (_, t) => cosines.flatMap((row, k) => [row[t]!, -sines[k]![t]!]));
  const gradients = context.expand(() => {
    const line = shape.length === 3 ? builder.op('Squeeze', [signal, builder.ints([2])]) : signal;
    const at = Array.from({ length: frames * length }, (_, i) => Math.floor(i / length) * step + (i % length));
    const cut = builder.op('Reshape', [builder.op('Gather', [line, builder.ints(at)], { axis: 1 }), builder.ints([-1, frames, length])]);
    const shown = window ? builder.op('Mul', [cut, window]) : cut;
    const spectrum = builder.op('MatMul', [shown, builder.constant(floats(dtypeOf(signal), basis.flat(), [length, 2 * bins]), 'basis')]);
    return Object.assign(builder.op('Reshape', [spectrum, builder.ints([-1, frames, bins, 2])]), { shape: output });
  }, window ? [signal, window] : [signal]);
  return [gradients[0] ?? null, null, gradients[1] ?? null];
};

export const fourierRules: Readonly<Record<string, Rule>> = { DFT: dft, STFT: stft };
