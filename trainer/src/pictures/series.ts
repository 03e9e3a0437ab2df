/** Arithmetic on curves before they are drawn: smoothing and thinning. */

/** Centred moving average over `span` points (fewer near the ends); values that are not finite don't count, and stay gaps. */
export function movingAverage(values: ArrayLike<number>, span: number): Float64Array {
  const before = Math.floor((span - 1) / 2);
  const after = span - 1 - before;
  const out = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      out[i] = NaN;
      continue;
    }
    let [sum, count] = [0, 0];
    for (let j = Math.max(0, i - before); j <= Math.min(values.length - 1, i + after); j++) {
      if (Number.isFinite(values[j])) {
        sum += values[j]!;
        count++;
      }
    }
    out[i] = sum / count;
  }
  return out;
}

/** A point of a curve; `y` is null at a gap. */
export interface CurvePoint {
  readonly x: number;
  readonly y: number | null;
}

/**
 * At most about `limit` points that draw the same curve: of each group of neighbours the smallest and the largest value,
 * in order. No peak is lost.
 */
export function thin(x: ArrayLike<number>, y: ArrayLike<number>, limit: number): CurvePoint[] {
  const at = (i: number): CurvePoint => ({ x: x[i]!, y: Number.isFinite(y[i]) ? y[i]! : null });
  if (y.length <= limit) return Array.from({ length: y.length }, (_, i) => at(i));
  const group = Math.ceil((2 * y.length) / limit);
  const points: CurvePoint[] = [];
  for (let start = 0; start < y.length; start += group) {
    let [low, high, gap] = [-1, -1, -1];
    for (let i = start; i < Math.min(start + group, y.length); i++) {
      if (!Number.isFinite(y[i])) gap = i;
      else {
        if (low < 0 || y[i]! < y[low]!) low = i;
        if (high < 0 || y[i]! > y[high]!) high = i;
      }
    }
    const chosen = new Set([low, high, gap].filter((i) => i >= 0));
    points.push(...[...chosen].sort((a, b) => a - b).map(at));
  }
  return points;
}
