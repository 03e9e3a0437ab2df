package ratioflow;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Runs the jobs of the conformance suite (tests/conformance): BUNDLES OUT reads OUT/jobs.json and writes OUT/i.samples.npy
 * and OUT/i.noise.npy, the noise of the first step, for every job, and the engine's name.
 */
public final class ConformanceJobs {
    private ConformanceJobs() {}

    private static Npy scalar(Object number) {
        return new Npy(new long[0], new float[] {((Double) number).floatValue()});
    }

    private static Npy run(Path folder, Bundle bundle, Map<String, Object> job, long seed, long first, int count, int elements) throws Exception {
        Npy x = job.get("x0") == null ? bundle.prior(count, seed, first) : Npy.read(folder.resolve((String) job.get("x0")));
        Npy given = job.get("noise") == null ? null : Npy.read(folder.resolve((String) job.get("noise")));
        int steps = ((Double) job.get("K")).intValue() + ((Double) job.get("kappa")).intValue();
        for (int k = 0; k < steps; k++) {
            float[] noise = given == null ? Noise.normals(seed, Noise.FLOW, k, first, count, elements)
                : java.util.Arrays.copyOfRange(given.data(), k * count * elements, (k + 1) * count * elements);
            x = bundle.run("step", Map.of("x", x, "noise", new Npy(x.shape(), noise), "eta", scalar(job.get("eta")), "nu", scalar(job.get("nu")))).get("next");
        }
        return bundle.clamped(x);
    }

    @SuppressWarnings("unchecked")
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]), out = Path.of(arguments[1]);
        var jobs = (List<Map<String, Object>>) Json.parse(Files.readString(out.resolve("jobs.json")));
        for (int i = 0; i < jobs.size(); i++) {
            Map<String, Object> job = jobs.get(i);
            long seed = Long.parseUnsignedLong((String) job.get("seed")), first = ((Double) job.get("first")).longValue();
            int count = ((Double) job.get("count")).intValue(), elements;
            try (Bundle bundle = new Bundle(folder.resolve((String) job.get("bundle")))) {
                elements = bundle.elements();
                run(folder, bundle, job, seed, first, count, elements).write(out.resolve(i + ".samples.npy"));
            }
            float[] noise = Noise.normals(seed, Noise.FLOW, 0, first, count, elements);
            new Npy(new long[] {noise.length}, noise).write(out.resolve(i + ".noise.npy"));
        }
        String version = ai.onnxruntime.OrtEnvironment.getEnvironment().getVersion();
        Files.writeString(out.resolve("engine.json"), "{\"engine\": \"onnxruntime " + version + " (Java)\"}");
    }
}
