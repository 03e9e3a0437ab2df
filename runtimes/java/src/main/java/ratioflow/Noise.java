package ratioflow;

/** The noise of docs/noise.md, bit for bit: every value depends on (seed, purpose, step, sample, element) alone. Java never fuses multiply and add. */
public final class Noise {
    public static final int PRIOR = 0, FLOW = 1;
    private static final int[] ROTATIONS = {13, 15, 26, 6, 17, 29, 16, 24};
    /** The 8193 knots of the quantile table. */
    static final double[] KNOTS = new double[8193];

    private Noise() {}

    /** Threefry-2x32, 20 rounds: two words as one long, the first in the low half. */
    static long threefry(long key, int c0, int c1) {
        int k0 = (int) key, k1 = (int) (key >>> 32);
        int[] k = {k0, k1, 0x1BD11BDA ^ k0 ^ k1};
        int x0 = c0 + k0, x1 = c1 + k1;
        for (int round = 0; round < 20; round++) {
            x0 += x1;
            x1 = Integer.rotateLeft(x1, ROTATIONS[round & 7]) ^ x0;
            if ((round & 3) == 3) {
                int i = (round + 1) >> 2;
                x0 += k[i % 3];
                x1 += k[(i + 1) % 3] + i;
            }
        }
        return (x0 & 0xFFFFFFFFL) | ((long) x1 << 32);
    }

    /** Key of a stream of a seed; the seed's 64 bits are read without sign. */
    static long streamKey(long seed, int purpose, int step) {
        return threefry(seed, purpose, step);
    }

    /** Word of one element of one sample. */
    static int word(long streamKey, int sample, int element) {
        long pair = threefry(streamKey, sample, element >>> 1);
        return (int) ((element & 1) == 0 ? pair : pair >>> 32);
    }

    /** Uniforms in (0, 1) in double: samples first, first + 1, … of a stream. */
    public static double[] uniforms(long seed, int purpose, int step, long first, int count, int elements) {
        double[] out = new double[Math.multiplyExact(count, elements)];
        long key = streamKey(seed, purpose, step);
        for (int i = 0; i < out.length; i++) {
            out[i] = ((word(key, (int) (first + i / elements), i % elements) & 0xFFFFFFFFL) + 0.5) * 0x1p-32;
        }
        return out;
    }

    /** Standard normals; arguments as for {@link #uniforms}. */
    public static float[] normals(long seed, int purpose, int step, long first, int count, int elements) {
        float[] out = new float[Math.multiplyExact(count, elements)];
        long key = streamKey(seed, purpose, step);
        for (int sample = 0, at = 0; sample < count; sample++) {
            for (int i = 0; i < elements; i += 2) {
                long pair = threefry(key, (int) (first + sample), i >>> 1);
                out[at++] = normal((int) pair);
                if (i + 1 < elements) out[at++] = normal((int) (pair >>> 32));
            }
        }
        return out;
    }

    static float normal(int word) {
        // n is odd and below 2^32: shifted until bit 31 is set, its next 8 bits choose a knot and 23 interpolate.
        int n = word >= 0 ? (word << 1) | 1 : (~word << 1) | 1;
        int zeros = Integer.numberOfLeadingZeros(n);
        int mantissa = n << zeros;
        int j = 256 * (31 - zeros) + (mantissa >>> 23 & 255);
        double magnitude = KNOTS[j] + (mantissa & 0x7FFFFF) * 0x1p-23 * (KNOTS[j + 1] - KNOTS[j]);
        return (float) (word >= 0 ? -magnitude : magnitude);
    }

    private static final double[] A = {2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608};
    private static final double[] B = {5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0};
    private static final double[] C = {7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734};
    private static final double[] D = {1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0};

    private static double horner(double[] coefficients, double x) {
        double sum = coefficients[0];
        for (int i = 1; i < coefficients.length; i++) sum = sum * x + coefficients[i];
        return sum;
    }

    /** The specification's own logarithm: platforms disagree about the last bit of theirs. */
    private static double log(double x) {
        int e = Math.getExponent(x);
        double m = x * Math.scalb(1.0, -e);
        if (m >= 2 * 0.7071067811865476) {
            m /= 2;
            e++;
        }
        double s = (m - 1) / (m + 1), h = 0;
        for (int k = 11; k >= 0; k--) h = h * (s * s) + 1.0 / (2 * k + 1);
        return e * 0.6931471805599453 + 2 * s * h;
    }

    /** Quantile of the normal distribution for p in [2^-33, 1/2): AS 241. */
    private static double quantile(double p) {
        double q = p - 0.5;
        if (Math.abs(q) <= 0.425) {
            double r = 0.180625 - q * q;
            return q * horner(A, r) / horner(B, r);
        }
        double t = Math.sqrt(-log(p)) - 1.6;
        return -(horner(C, t) / horner(D, t));
    }

    static {
        for (int j = 0; j < 8192; j++) KNOTS[j] = -quantile((1 + j % 256 / 256.0) * Math.scalb(1.0, j / 256 - 33));
        KNOTS[8192] = 0;
    }
}
