export { loadTensorFlow, type LoadedTensorFlow, type LoadTensorFlowOptions } from './backend/load-tensorflow.js';
export { describeTensorFlow, type TensorFlowFacts } from './backend/describe-tensorflow.js';
export type { TensorFlow } from './backend/tensorflow.js';
export { loadConfig, parseConfig, validateConfig } from './config/load.js';
export { trainingConfigSchema, type TrainingConfig } from './config/schema.js';
export { ConfigError, TrainingError } from './errors.js';
export { openRun, resumeRun, startRun, type RunOptions, type RunResult, type TrainingProgress } from './run/run-training.js';
export { bundleOf } from './run/run-bundle.js';
