export { ArgumentError, BundleError, FormatError, RatioflowError, RuntimeError } from './errors.js';
export { formatVersion, graphFiles, weightsFile } from './manifest.js';
export type { FileRecord, GraphName, Manifest, PriorRecord, Tolerance, TrainingRecord, VerificationVector } from './manifest.js';
export { pairingNames, pairingOf, pairings } from './pairing.js';
export type { Pairing, PairingName } from './pairing.js';
export type { Capabilities, GraphSource, LoadOptions, Runtime, Session, Tensor, TensorData } from './runtime.js';
