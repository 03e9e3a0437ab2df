/** A tfjs model as it is stored: topology, weight specifications, weight bytes. Fits `tf.io.ModelArtifacts`. */

export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  /** How the stored elements become those of `dtype`: value · scale + min, or a float16 that is widened. */
  readonly quantization?: { readonly dtype: string; readonly scale?: number; readonly min?: number };
}

/** The part of tfjs's `ModelArtifacts` that conversion reads. */
export interface TfjsArtifacts {
  readonly format?: string;
  readonly generatedBy?: string;
  readonly convertedBy?: string | null;
  /** The network's configuration (LayersModel) or a GraphDef (GraphModel), parsed. */
  readonly modelTopology: object;
  readonly weightSpecs: readonly WeightSpec[];
  /** The weights one after another, in the order of `weightSpecs`; or parts whose concatenation is that. */
  readonly weightData: ArrayBuffer | readonly ArrayBuffer[];
  readonly signature?: object;
  readonly userDefinedMetadata?: object;
}
