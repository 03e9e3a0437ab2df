package ratioflow;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/** Holds the noise against the published vectors (tests/noise/vectors.json): prints every difference, then the number of values compared. */
public final class NoiseVectors {
    private static int compared;

    private NoiseVectors() {}

    private static void same(String what, Object actual, Object expected) {
        compared++;
        if (!actual.equals(expected)) System.out.println(what + ": " + actual + " instead of " + expected);
    }

    private static String hex(int word) {
        return String.format("%08x", word);
    }

    private static int word(Object text) {
        return Integer.parseUnsignedInt((String) text, 16);
    }

    private static int integer(Object number) {
        return (int) ((Double) number).longValue();
    }

    @SuppressWarnings("unchecked")
    public static void main(String[] arguments) throws Exception {
        var vectors = (Map<String, List<Map<String, Object>>>) Json.parse(Files.readString(Path.of(arguments[0])));
        for (var one : vectors.get("threefry")) {
            List<Object> key = (List<Object>) one.get("key"), counter = (List<Object>) one.get("counter"), words = (List<Object>) one.get("words");
            long pair = Noise.threefry((word(key.get(0)) & 0xFFFFFFFFL) | (long) word(key.get(1)) << 32, word(counter.get(0)), word(counter.get(1)));
            same("threefry", hex((int) pair) + hex((int) (pair >>> 32)), "" + words.get(0) + words.get(1));
        }
        ByteBuffer knots = ByteBuffer.allocate(8 * 8193).order(ByteOrder.LITTLE_ENDIAN);
        for (double knot : Noise.KNOTS) knots.putDouble(knot);
        Object digest = ((Map<String, Object>) (Object) vectors.get("knots")).get("sha256");
        same("knots", HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(knots.array())), digest);
        for (var one : vectors.get("streams")) {
            long seed = Long.parseUnsignedLong((String) one.get("seed"));
            int purpose = integer(one.get("purpose")), step = integer(one.get("step")), count = integer(one.get("count")), elements = integer(one.get("elements"));
            long first = ((Double) one.get("firstSample")).longValue();
            List<Object> words = (List<Object>) one.get("words"), uniforms = (List<Object>) one.get("uniformsFloat64"), normals = (List<Object>) one.get("normalsFloat32");
            double[] u = Noise.uniforms(seed, purpose, step, first, count, elements);
            float[] n = Noise.normals(seed, purpose, step, first, count, elements);
            same("length", n.length, normals.size());
            long key = Noise.streamKey(seed, purpose, step);
            for (int i = 0; i < n.length; i++) {
                same("word", hex(Noise.word(key, (int) (first + i / elements), i % elements)), words.get(i));
                same("uniform", String.format("%016x", Double.doubleToRawLongBits(u[i])), uniforms.get(i));
                same("normal", hex(Float.floatToRawIntBits(n[i])), normals.get(i));
            }
        }
        for (var one : vectors.get("digests")) {
            float[] n = Noise.normals(Long.parseUnsignedLong((String) one.get("seed")), integer(one.get("purpose")), integer(one.get("step")), ((Double) one.get("firstSample")).longValue(), integer(one.get("count")), integer(one.get("elements")));
            ByteBuffer bytes = ByteBuffer.allocate(4 * n.length).order(ByteOrder.LITTLE_ENDIAN);
            bytes.asFloatBuffer().put(n);
            same("digest", HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.array())), one.get("normalsFloat32"));
        }
        System.out.println(compared + " compared");
    }
}
