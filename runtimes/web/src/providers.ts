/**
 * Execution providers of onnxruntime-web by name, in the customary order of preference, and what each can do.
 */
import type { Capabilities } from '@ratioflow/sdk';
import { accept, argument } from '@ratioflow/sdk/engine';

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
export const checkProviders = (providers: readonly string[]): readonly ProviderName[] =>
  argument('providers', providers, accept((list) => Array.isArray(list) && list.length > 0 && list.every((name) => providerNames.includes(name as ProviderName)), `an array of ${providerNames.join(', ')}, not empty`));
