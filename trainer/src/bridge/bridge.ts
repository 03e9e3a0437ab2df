/** The bridging flow of a training iteration, behind one interface: x₀ → x_K with the live weights. */

/** One run of the flow. */
export interface FlowRequest {
  /** Samples in `x0`. */
  readonly count: number;
  /** Number of steps. */
  readonly steps: number;
  /** Seed of the flow's noise: step k uses (purpose flow, step k), sample i its index in the batch. */
  readonly seed: bigint;
  readonly signal?: AbortSignal | undefined;
}

export interface FlowSettings {
  /** Step size η. */
  readonly eta: number;
  /** Noise scale ν. */
  readonly nu: number;
}

/** An engine that runs the flow. Whoever made it disposes of it. */
export interface Bridge {
  readonly engine: 'onnxruntime' | 'tfjs';
  /** Takes the estimator's present weights over for the runs that follow. */
  refresh(): Promise<void>;
  /**
   * x_{k+1} = x_k − η ∇ₓ f′(r(x_k)) + ν ξ_k (arXiv 2303.03714, equation 9), nothing clamped. One run at a time.
   * @param x0 [N, …sampleShape] in C order; not changed
   * @returns x after the last step
   */
  run(x0: Float32Array, request: FlowRequest): Promise<Float32Array>;
  /** Gives back what it holds only for runs, until the next one: learning, which follows, needs the memory. */
  rest(): Promise<void>;
  dispose(): Promise<void>;
}
