/** What those need who put an engine behind the SDK. @module @ratioflow/sdk/engine */
export { outputTensor } from './engine-output.js';
export { resolveExternalData } from './external-data.js';
export type { ResolvedGraph } from './external-data.js';
