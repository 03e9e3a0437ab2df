/**
 * A field for WebAssembly, which has vectors of four numbers and no layout of its own for convolutions: there Winograd's
 * algorithm pays for small layers, too, and branches do not (docs/lowerings.md has the measurements).
 */
import { hasGraph } from '../ir/model.js';
import { branchlessField } from './branchless-field.js';
import { tried, type Field } from './field.js';
import { winogradField, type WinogradGain } from './winograd-field.js';

/** Measured on onnxruntime-web. */
const gains: WinogradGain = (channels, rows, columns) =>
  channels >= 32 && rows * columns >= (channels > 128 ? 8 ** 2 : 4 ** 2) && Math.max(rows, columns) <= Math.min(channels, 64);

/** The same field for WebAssembly; undefined for networks without convolutions, which gain nothing, and with control flow, whose graphs read values from around. */
export function wasmField(field: Field): Field | undefined {
  const { nodes } = tried(field).builder.graph;
  return nodes.some(({ opType }) => opType === 'Conv') && !nodes.some(hasGraph) ? branchlessField(winogradField(field, gains) ?? field) : undefined;
}
