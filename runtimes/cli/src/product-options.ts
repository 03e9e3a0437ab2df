/** Options of every command that makes a bundle: what it holds besides what every bundle holds. */
import type { Command } from 'commander';
import type { ProductOptions } from '@ratioflow/export';
import { integerFrom } from './parsers.js';

/** The options as commander gives them. */
export interface ProductFlags {
  readonly fp16?: boolean;
  readonly unroll?: number;
  readonly singleFile?: boolean;
}

/** Adds --fp16, --unroll and --single-file to a command. */
export const withProductOptions = (command: Command): Command => command
  .option('--fp16', 'add half-precision graphs, for CUDA and WebGPU (ratio-fp16.onnx and so on, weights-fp16.bin)')
  .option('--unroll <m>', 'add sampler-unrolled.onnx: m steps (1 to 100) without control flow, for engines that lack it', integerFrom(1))
  .option('--single-file', 'embed the weights in every graph instead of sharing weights.bin');

/** What they ask of the exporter. */
export const productsOf = ({ fp16, unroll, singleFile }: ProductFlags): ProductOptions => ({
  ...(fp16 && { float16: true }), ...(unroll !== undefined && { unroll }), ...(singleFile && { singleFile: true }),
});
