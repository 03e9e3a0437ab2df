/**
 * Execution providers of onnxruntime-node by name, in order of preference, and what to do to get one that is absent.
 */
import { ArgumentError } from '@ratioflow/sdk';
import { show } from '@ratioflow/sdk/engine';

/** The execution providers of onnxruntime-node, in the customary order of preference. */
export const providerNames = ['cuda', 'webgpu', 'cpu'] as const;
/** One of {@link providerNames}. */
export type ProviderName = (typeof providerNames)[number];

/** The exact step that makes a provider available, for warnings and `doctor`. */
export const remedies: Readonly<Record<ProviderName, string>> = {
  cuda: 'install an NVIDIA driver, CUDA 12 and cuDNN 9, then run `node node_modules/onnxruntime-node/script/install --onnxruntime-node-install=cuda12` with network access (`ratioflow doctor` says which of these is missing)',
  webgpu: 'install a GPU driver with Vulkan (Linux; the loader is libvulkan.so.1), Metal (macOS) or Direct3D 12 (Windows)',
  cpu: 'reinstall onnxruntime-node: it has no binary for this platform',
};

/** Options of the CUDA provider; onnxruntime-node passes on no others. */
export interface CudaOptions {
  /** Which GPU, counted as CUDA counts them (after `CUDA_VISIBLE_DEVICES`). @default 0 */
  readonly deviceId?: number;
}

/** The provider as onnxruntime-node takes it. */
export const providerConfig = (provider: ProviderName, cuda: CudaOptions | undefined): { name: ProviderName; deviceId?: number } =>
  (provider === 'cuda' && cuda?.deviceId !== undefined ? { name: provider, deviceId: cuda.deviceId } : { name: provider });

/** Checks a list of providers. @throws {ArgumentError} for an unknown name, an empty list, or what is no list */
export function checkProviders(providers: readonly string[]): readonly ProviderName[] {
  const list: unknown = providers;
  if (!Array.isArray(list)) throw new ArgumentError(`providers is ${show(list)}; allowed: an array of ${providerNames.join(', ')}.`);
  const unknown = providers.find((name) => !(providerNames as readonly string[]).includes(name));
  if (unknown !== undefined || providers.length === 0) {
    throw new ArgumentError(`providers has ${unknown === undefined ? 'no entry' : show(unknown)}; allowed: ${providerNames.join(', ')}, in order of preference.`);
  }
  return providers as readonly ProviderName[];
}
