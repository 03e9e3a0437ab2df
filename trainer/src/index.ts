export { describeTensorFlow } from './backend/describe-tensorflow.js';
export type { TensorFlowFacts } from './backend/describe-tensorflow.js';
export { backendChoices, loadTensorFlow } from './backend/load-tensorflow.js';
export type { BackendChoice, LoadedTensorFlow, LoadTensorFlowOptions } from './backend/load-tensorflow.js';
export type { BackendName, TensorFlow } from './backend/tensorflow.js';
