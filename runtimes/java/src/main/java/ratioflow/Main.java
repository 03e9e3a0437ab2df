package ratioflow;

import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** sample BUNDLE OUT.npy [COUNT [SEED [FIRST]]] | verify BUNDLE */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws Exception {
        boolean sample = arguments.length >= 3 && arguments.length <= 6 && arguments[0].equals("sample");
        if (!sample && !(arguments.length == 2 && arguments[0].equals("verify"))) {
            System.err.println("usage: sample BUNDLE OUT.npy [COUNT [SEED [FIRST]]] | verify BUNDLE");
            System.exit(2);
        }
        try (Bundle bundle = new Bundle(Path.of(arguments[1]))) {
            if (!sample) {
                System.exit(verify(bundle, Path.of(arguments[1])) ? 0 : 1);
            }
            int count = arguments.length > 3 ? number("count", arguments[3], Integer::parseInt) : 64;
            long seed = arguments.length > 4 ? number("seed", arguments[4], Long::parseUnsignedLong) : 0;
            long first = arguments.length > 5 ? number("first", arguments[5], Long::parseLong) : 0;
            bundle.sample(count, seed, first).write(Path.of(arguments[2]));
            System.out.println(count + " samples (seed " + Long.toUnsignedString(seed) + ", from " + first + ") in " + arguments[2]);
        } catch (NoSuchFileException error) {
            System.err.println("error: there is no file " + error.getMessage());
            System.exit(1);
        } catch (java.io.IOException | IllegalArgumentException | IllegalStateException error) {
            System.err.println("error: " + error.getMessage());
            System.exit(1);
        }
    }

    private static <T> T number(String name, String text, Function<String, T> parse) {
        try {
            return parse.apply(text);
        } catch (NumberFormatException error) {
            throw new IllegalArgumentException(name + " is \"" + text + "\"; allowed: a whole number, " + (name.equals("count") ? "from 1" : "from 0, a seed below 2^64"));
        }
    }

    @SuppressWarnings("unchecked")
    private static boolean verify(Bundle bundle, Path folder) throws Exception {
        Map<String, Map<String, Double>> tolerances = (Map<String, Map<String, Double>>) bundle.manifest.get("tolerances");
        int checks = 0, failed = 0;
        for (var vector : (List<Map<String, Object>>) bundle.manifest.get("verification")) {
            Map<String, Double> own = (Map<String, Double>) vector.get("tolerance");
            Map<String, Double> tolerance = own != null ? own : tolerances.getOrDefault("cpu", tolerances.get("default"));
            Map<String, Npy> inputs = new HashMap<>();
            for (var input : ((Map<String, String>) vector.get("inputs")).entrySet()) inputs.put(input.getKey(), Npy.read(folder.resolve(input.getValue())));
            Map<String, Npy> outputs = bundle.run((String) vector.get("graph"), inputs);
            for (var output : ((Map<String, String>) vector.get("outputs")).entrySet()) {
                float[] expected = Npy.read(folder.resolve(output.getValue())).data(), actual = outputs.get(output.getKey()).data();
                double error = expected.length == actual.length ? 0 : Double.POSITIVE_INFINITY, largest = 0;
                for (int i = 0; i < Math.min(expected.length, actual.length); i++) {
                    // NaN wins over every number.
                    error = Math.max(error, Math.abs((double) actual[i] - expected[i]));
                    largest = Math.max(largest, Math.abs(expected[i]));
                }
                double allowed = tolerance.get("absolute") + tolerance.get("relative") * largest;
                boolean passed = error <= allowed;
                checks++;
                if (!passed) failed++;
                System.out.printf(java.util.Locale.ROOT, "%s  %-20s  largest error %.1e, allowed %.1e%n", passed ? "ok    " : "FAILED", vector.get("graph") + "." + output.getKey(), error, allowed);
            }
        }
        return checks > 0 && failed == 0;
    }
}
