/** The reliability diagram of a log ratio: what it predicts against what is found. */

/** Values of both sides that are alike. */
export interface ReliabilityBin {
  /** Mean predicted share of samples among equally many samples and data, σ(log q/p). */
  readonly predicted: number;
  /** Their share that is found, both sides weighted alike. */
  readonly observed: number;
  readonly data: number;
  readonly samples: number;
}

/** Bins of about equally many values, both sides together; equal values are never parted. @param bins at most so many */
export function reliability(onData: ArrayLike<number>, onSamples: ArrayLike<number>, bins = 10): ReliabilityBin[] {
  const all = [...Array.from(onData, (value) => ({ value, datum: 1 })), ...Array.from(onSamples, (value) => ({ value, datum: 0 }))].sort((a, b) => a.value - b.value);
  const out: ReliabilityBin[] = [];
  for (let start = 0, bin = 1; start < all.length; bin++) {
    let end = Math.max(start + 1, Math.round((bin * all.length) / bins));
    while (end < all.length && all[end]!.value === all[end - 1]!.value) end++;
    const part = all.slice(start, end);
    const data = part.reduce((count, { datum }) => count + datum, 0);
    const samples = part.length - data;
    const [p, q] = [data / onData.length, samples / onSamples.length];
    out.push({ predicted: part.reduce((sum, { value }) => sum + 1 / (1 + Math.exp(-value)), 0) / part.length, observed: q / (p + q), data, samples });
    start = end;
  }
  return out;
}
