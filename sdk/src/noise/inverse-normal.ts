/**
 * The quantile function of the normal distribution below one half, and the table of its magnitudes that the noise
 * specification interpolates. Only +, −, ·, / and √ of IEEE doubles, which every language rounds the same way: the
 * logarithm is ours because those of the platforms differ in the last bit.
 */

// Coefficients of algorithm AS 241, PPND16 (M. J. Wichura, Applied Statistics 37 (1988) 477–484), from the highest power.
const centralNumerator = [
  2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125,
  1971.5909503065514427, 133.14166789178437745, 3.387132872796366608,
];
const centralDenominator = [
  5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077,
  687.1870074920579083, 42.313330701600911252, 1,
];
const tailNumerator = [
  7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
  3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734,
];
const tailDenominator = [
  1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
  0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1,
];
function horner(coefficients: readonly number[], x: number): number {
  let sum = coefficients[0]!;
  for (let i = 1; i < coefficients.length; i++) sum = sum * x + coefficients[i]!;
  return sum;
}

const rootOfHalf = 0.7071067811865476;
const logOfTwo = 0.6931471805599453;

/** Natural logarithm of a positive normal double, by the series of artanh after reduction to [√½, √2). */
export function naturalLog(x: number): number {
  let m = x;
  let e = 0;
  // Scaling by powers of two is exact.
  while (m < rootOfHalf) { m *= 2; e -= 1; }
  while (m >= 2 * rootOfHalf) { m /= 2; e += 1; }
  const s = (m - 1) / (m + 1);
  const square = s * s;
  let h = 1 / 23;
  for (let k = 10; k >= 0; k--) h = h * square + 1 / (2 * k + 1);
  return e * logOfTwo + 2 * s * h;
}

/**
 * PPND16: the quantile x ≤ 0 with Φ(x) = p, for p in [e⁻²⁵, ½], to a relative accuracy of about 1e-15. The upper half is
 * its mirror image. The algorithm's third range, p < e⁻²⁵, is left out: the smallest uniform is 2⁻³³ = 1.16e-10.
 */
export function lowerNormalQuantile(p: number): number {
  const q = p - 0.5;
  if (q >= -0.425) {
    const r = 0.180625 - q * q;
    return (q * horner(centralNumerator, r)) / horner(centralDenominator, r);
  }
  const t = Math.sqrt(-naturalLog(p)) - 1.6;
  return -(horner(tailNumerator, t) / horner(tailDenominator, t));
}

/** Number of linear pieces: 256 in each of the 32 octaves of n. */
export const pieces = 8192;

/**
 * The knots T[0…8192] of the specification: T[256 e + i] is the magnitude of the normal at tail probability
 * (1 + i/256) · 2^(e − 33). Falls from 6.34 to 0.
 */
export function quantileKnots(): Float64Array {
  const knots = new Float64Array(pieces + 1);
  for (let octave = 0; octave < 32; octave++) {
    const scale = 1 / (2 * 2 ** (32 - octave));
    for (let i = 0; i < 256; i++) knots[256 * octave + i] = -lowerNormalQuantile((1 + i / 256) * scale);
  }
  return knots;
}
