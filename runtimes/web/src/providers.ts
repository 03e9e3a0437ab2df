/**
 * Execution providers of onnxruntime-web by name, in the customary order of preference, and what each can do.
 */
import { ArgumentError } from '@ratioflow/sdk';
import type { Capabilities } from '@ratioflow/sdk';

/** The execution providers of onnxruntime-web, in the customary order of preference. */
export const providerNames = ['webgpu', 'wasm'] as const;
/** One of {@link providerNames}. */
export type ProviderName = (typeof providerNames)[number];

/** What onnxruntime-web can do on each provider. */
export const capabilities: Readonly<Record<ProviderName, Capabilities>> = {
  // Loop falls back to the CPU with copies at every step; tensors can stay on the device instead.
  webgpu: { controlFlow: false, deviceTensors: true },
  wasm: { controlFlow: true, deviceTensors: false, lowerings: ['wasm', 'cpu'] },
};

/** Checks a list of providers. @throws {ArgumentError} for an unknown name, an empty list, or what is no list */
export function checkProviders(providers: readonly string[]): readonly ProviderName[] {
  const list: unknown = providers;
  if (!Array.isArray(list)) throw new ArgumentError(`providers is ${JSON.stringify(list)}; allowed: an array of ${providerNames.join(', ')}.`);
  const unknown = providers.find((name) => !(providerNames as readonly string[]).includes(name));
  if (unknown !== undefined || providers.length === 0) {
    throw new ArgumentError(`providers has ${unknown === undefined ? 'no entry' : JSON.stringify(unknown)}; allowed: ${providerNames.join(', ')}, in order of preference.`);
  }
  return providers as readonly ProviderName[];
}
