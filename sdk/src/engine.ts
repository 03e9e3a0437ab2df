/** What those need who put an engine behind the SDK. @module @ratioflow/sdk/engine */
export { inputTensor, outputTensor } from './engine-tensors.js';
export { messageOf } from './errors.js';
export { resolveExternalData } from './external-data.js';
export type { ResolvedGraph } from './external-data.js';
export { checkHooks, rejectUnknown } from './options.js';
