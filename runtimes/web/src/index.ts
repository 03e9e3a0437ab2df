/** Bundles on onnxruntime-web. @module @ratioflow/web */
export { bundleFiles, fileSource } from './file-source.js';
export type { BundleFiles } from './file-source.js';
export { open } from './open.js';
export type { OpenOptions } from './open.js';
export { providerNames } from './providers.js';
export type { ProviderName } from './providers.js';
export { createRuntime } from './runtime.js';
export type { RuntimeOptions } from './runtime.js';
export { urlSource } from './url-source.js';
export type { Download, UrlSourceOptions } from './url-source.js';
export { readZip } from './zip.js';
