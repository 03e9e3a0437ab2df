/** The text of `src/noise/generated/noise-kernel.ts`. */
export function noiseKernel(): Promise<string>;
