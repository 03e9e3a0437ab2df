/** What those need who put an engine behind the SDK. @module @ratioflow/sdk/engine */
export { accept, argument, failArgument, integer, optional, record, show } from './check.js';
export { inputTensor, outputTensor } from './engine-tensors.js';
export { messageOf } from './errors.js';
export { resolveExternalData } from './external-data.js';
export type { ResolvedGraph } from './external-data.js';
export { checkLoading } from './loading.js';
export { checkHooks, rejectUnknown } from './options.js';
