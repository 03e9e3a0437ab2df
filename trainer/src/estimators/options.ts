/** What can be chosen about an estimator of a given name. */
export interface EstimatorOptions {
  /** Spectral normalisation of every convolution and dense layer. @default false */
  readonly spectralNorm?: boolean | undefined;
  /** SAGAN self-attention after the stage of 128 channels. @default only in resnet64-shallow */
  readonly attention?: boolean | undefined;
  /** Factor on the number of filters or hidden units of every layer; filters come in multiples of 16. @default 1 */
  readonly width?: number | undefined;
  /** Numbers that come out: 1 for an estimator, the number of classes for a classifier. @default 1 */
  readonly outputs?: number | undefined;
}
