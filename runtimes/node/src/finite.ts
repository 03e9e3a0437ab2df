/** Samples that are none: a flow whose steps are too large ends in NaN, which a picture shows as black and nobody notices. */
import { ArgumentError } from '@ratioflow/sdk';
import type { Tensor } from '@ratioflow/sdk';

/** Indices of the samples [N, …] that hold NaN or infinite values. */
export function notFinite({ shape, data }: Tensor): number[] {
  const [count] = shape as [number];
  const elements = data.length / count;
  return Array.from({ length: count }, (_, n) => n).filter((n) => !(data as Float32Array).subarray(n * elements, (n + 1) * elements).every(Number.isFinite));
}

/**
 * What to say of them: warnings, none where all samples are finite.
 * @param found their indices among `count` samples
 * @throws {ArgumentError} when no sample is finite: there is nothing to be written
 */
export function finiteWarnings(found: readonly number[], count: number): readonly string[] {
  const diverged = 'NaN or infinite values: the flow has diverged';
  if (found.length === count) throw new ArgumentError(`All of ${count} samples hold ${diverged}. Take a smaller step size eta, noise nu or scale of guidance, and check x0 and noise where you gave them; nothing was written.`);
  return found.length === 0 ? [] : [`${found.length} of ${count} samples hold ${diverged} (the first: sample ${found[0]!}); pictures show them as if they were black.`];
}
