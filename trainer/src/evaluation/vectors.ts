/** Loops over vectors in double, in independent chains for the processor. */

/** Σ aᵢ bᵢ over the shorter of the two. */
export function dot(a: Float64Array, b: Float64Array): number {
  const length = Math.min(a.length, b.length);
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < length; i += 4) {
    s0 += a[i]! * b[i]!;
    s1 += a[i + 1]! * b[i + 1]!;
    s2 += a[i + 2]! * b[i + 2]!;
    s3 += a[i + 3]! * b[i + 3]!;
  }
  for (; i < length; i++) s0 += a[i]! * b[i]!;
  return s0 + s1 + (s2 + s3);
}

/** a += factor · b over the shorter of the two. */
export function addScaled(a: Float64Array, b: Float64Array, factor: number): void {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) a[i]! += factor * b[i]!;
}
