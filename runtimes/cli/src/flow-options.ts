/** Options of every command that runs the flow of a bundle: its schedule, and the engine. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Model } from '@ratioflow/sdk';
import type { ProviderName } from '@ratioflow/node';
import { integerFrom, numberFrom, providerList } from './parsers.js';

/** The options of `withEngineOptions` as commander gives them. */
export interface EngineFlags {
  readonly provider: ProviderName[];
  readonly threads?: number;
}

/** The options of `withFlowOptions` as commander gives them. */
export interface FlowFlags extends EngineFlags {
  readonly steps?: number;
  readonly refine?: number;
  readonly eta?: number;
  readonly nu?: number;
}

/** Adds --provider and --threads to a command. */
export const withEngineOptions = (command: Command): Command => command
  .addOption(new Option('--provider <list>', 'cuda, webgpu, cpu, or several with commas, in order of preference').argParser(providerList).default(['cpu'], 'cpu'))
  .option('--threads <n>', 'threads of the engine (default: all cores)', integerFrom(1));

/** Adds these and --steps, --refine, --eta and --nu to a command. */
export const withFlowOptions = (command: Command): Command => withEngineOptions(command
  .option('--steps <K>', 'bridging steps (default: the bundle\'s)', integerFrom(0))
  .option('--refine <k>', 'refinement steps after them (default: the bundle\'s)', integerFrom(0))
  .option('--eta <number>', 'step size of the flow (default: the bundle\'s)', numberFrom(0))
  .option('--nu <number>', 'scale of the noise of every step (default: the bundle\'s)', numberFrom(0)));

/** What they ask of `open`. */
export const engineOf = ({ provider, threads }: EngineFlags): { providers: ProviderName[]; threads?: number } => ({ providers: provider, ...(threads !== undefined && { threads }) });

/** What of a flow they set. */
export const flowOf = ({ steps, refine, eta, nu }: FlowFlags): { K?: number; kappa?: number; eta?: number; nu?: number } =>
  ({ ...(steps !== undefined && { K: steps }), ...(refine !== undefined && { kappa: refine }), ...(eta !== undefined && { eta }), ...(nu !== undefined && { nu }) });

/** What they ask of a flow. */
export const scheduleOf = (flags: FlowFlags, { manifest: { K, kappa, eta, nu } }: Model): { K: number; kappa: number; eta: number; nu: number } => ({ K, kappa, eta, nu, ...flowOf(flags) });

/** Picture pixels per pixel of an image: what was asked for, else such that images have about 64. */
export const zoomOf = (zoom: number | undefined, { manifest }: Model): number => zoom ?? Math.max(1, Math.floor(64 / (manifest.sampleShape[2] ?? 64)));
