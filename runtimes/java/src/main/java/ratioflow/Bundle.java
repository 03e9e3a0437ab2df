package ratioflow;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A bundle in a folder, every file checked against the manifest: the format is docs/bundle.md. Closing it frees the sessions. */
public final class Bundle implements AutoCloseable {
    /** The manifest as it is. */
    public final Map<String, Object> manifest;
    private final Path folder;
    private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
    private final Map<String, OrtSession> sessions = new HashMap<>();

    @SuppressWarnings("unchecked")
    public Bundle(Path folder) throws IOException, NoSuchAlgorithmException {
        this.folder = folder;
        manifest = (Map<String, Object>) Json.parse(Files.readString(folder.resolve("manifest.json")));
        if (number("formatVersion") > 1) throw new IOException(folder + " has format version " + number("formatVersion") + "; this driver reads 1");
        for (var file : ((Map<String, Map<String, Object>>) manifest.get("files")).entrySet()) {
            if (!file.getKey().matches("[a-z0-9-]+\\.onnx|weights(-fp16)?\\.bin|verify/\\w[\\w.-]*\\.npy")) throw new IOException(folder + ": the manifest names " + file.getKey() + ", which is no file of a bundle");
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] block = new byte[1 << 16];
            try (InputStream stream = Files.newInputStream(folder.resolve(file.getKey()))) {
                for (int read; (read = stream.read(block)) > 0; ) digest.update(block, 0, read);
            }
            if (!HexFormat.of().formatHex(digest.digest()).equals(file.getValue().get("sha256"))) throw new IOException(folder + ": " + file.getKey() + " is not what the manifest says; copy or export the bundle again");
        }
    }

    public double number(String field) {
        return (Double) manifest.get(field);
    }

    /** [C, H, W] or [D]. */
    @SuppressWarnings("unchecked")
    public long[] sampleShape() {
        return ((List<Double>) manifest.get("sampleShape")).stream().mapToLong(Double::longValue).toArray();
    }

    /** Outputs of a graph, by name; arrays are converted where the graph wants integers or gives bytes. */
    public Map<String, Npy> run(String graph, Map<String, Npy> inputs) throws OrtException {
        OrtSession session = sessions.get(graph);
        if (session == null) {
            OrtSession.SessionOptions options = new OrtSession.SessionOptions();
            // The optimiser's warnings help nobody.
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
            sessions.put(graph, session = environment.createSession(folder.resolve(graph + ".onnx").toString(), options));
        }
        Map<String, OnnxTensor> feeds = new HashMap<>();
        Map<String, Npy> all = composed(session.getInputNames(), inputs);
        all.putAll(inputs);
        try {
            for (var input : all.entrySet()) feeds.put(input.getKey(), tensor(input.getValue(), ((TensorInfo) session.getInputInfo().get(input.getKey()).getInfo()).type));
            try (OrtSession.Result result = session.run(feeds)) {
                Map<String, Npy> outputs = new LinkedHashMap<>();
                for (var output : result) {
                    OnnxTensor tensor = (OnnxTensor) output.getValue();
                    outputs.put(output.getKey(), new Npy(tensor.getInfo().getShape(), floats(tensor)));
                }
                return outputs;
            }
        } finally {
            feeds.values().forEach(OnnxTensor::close);
        }
    }

    /** What a composed bundle's graph wants besides: no class, the manifest's scale and weights. */
    @SuppressWarnings("unchecked")
    private Map<String, Npy> composed(Set<String> wanted, Map<String, Npy> inputs) {
        Map<String, Npy> besides = new HashMap<>();
        if (wanted.contains("y") && !inputs.containsKey("y")) {
            int samples = (int) inputs.get(inputs.containsKey("x") ? "x" : inputs.containsKey("x0") ? "x0" : "z").shape()[0];
            float[] none = new float[samples];
            Arrays.fill(none, -1);
            besides.put("y", new Npy(new long[] {samples}, none));
        }
        if (wanted.contains("phi")) besides.put("phi", new Npy(new long[0], new float[] {((Map<String, Double>) manifest.get("guidance")).get("scale").floatValue()}));
        if (wanted.contains("weights")) {
            List<Double> mixture = (List<Double>) manifest.get("mixture");
            float[] weights = new float[mixture.size()];
            for (int i = 0; i < weights.length; i++) weights[i] = mixture.get(i).floatValue();
            besides.put("weights", new Npy(new long[] {weights.length}, weights));
        }
        return besides;
    }

    private OnnxTensor tensor(Npy array, OnnxJavaType type) throws OrtException {
        if (type != OnnxJavaType.INT64) return OnnxTensor.createTensor(environment, FloatBuffer.wrap(array.data()), array.shape());
        long[] integers = new long[array.data().length];
        for (int i = 0; i < integers.length; i++) integers[i] = (long) array.data()[i];
        return OnnxTensor.createTensor(environment, LongBuffer.wrap(integers), array.shape());
    }

    private static float[] floats(OnnxTensor tensor) {
        if (tensor.getInfo().type == OnnxJavaType.UINT8) {
            ByteBuffer bytes = tensor.getByteBuffer();
            float[] data = new float[bytes.remaining()];
            for (int i = 0; i < data.length; i++) data[i] = bytes.get() & 0xFF;
            return data;
        }
        FloatBuffer buffer = tensor.getFloatBuffer();
        float[] data = new float[buffer.remaining()];
        buffer.get(data);
        return data;
    }

    /** x0 of samples first to first + count - 1 of a seed (64 bits without sign). */
    @SuppressWarnings("unchecked")
    public Npy prior(int count, long seed, long first) throws OrtException {
        if (count < 1) throw new IllegalArgumentException("count is " + count + "; allowed: from 1");
        Map<String, Object> prior = (Map<String, Object>) manifest.get("prior");
        if (prior.get("kind").equals("source")) throw new IllegalStateException("this bundle starts from samples of another domain, which this driver does not take");
        int elements = elements();
        float[] z;
        if (prior.get("z").equals("normal")) z = Noise.normals(seed, Noise.PRIOR, 0, first, count, elements);
        else {
            double[] uniforms = Noise.uniforms(seed, Noise.PRIOR, 0, first, count, elements);
            z = new float[uniforms.length];
            for (int i = 0; i < z.length; i++) z[i] = (float) uniforms[i];
        }
        return run("prior", Map.of("z", new Npy(new long[] {count, elements}, z))).get("x0");
    }

    /** Samples first to first + count - 1 of a seed, by Algorithm 2: prior, K + kappa steps, one clamp. */
    public Npy sample(int count, long seed, long first) throws OrtException {
        return sample(count, seed, first, Map.of());
    }

    /** The same with inputs of a composed bundle: y (a class for each sample, below 0 none), phi, weights. */
    public Npy sample(int count, long seed, long first, Map<String, Npy> composed) throws OrtException {
        Npy x = prior(count, seed, first);
        Npy eta = new Npy(new long[0], new float[] {(float) number("eta")}), nu = new Npy(new long[0], new float[] {(float) number("nu")});
        for (int k = 0; k < number("K") + number("kappa"); k++) {
            Npy noise = new Npy(x.shape(), Noise.normals(seed, Noise.FLOW, k, first, count, elements()));
            Map<String, Npy> inputs = new HashMap<>(composed);
            inputs.putAll(Map.of("x", x, "noise", noise, "eta", eta, "nu", nu));
            x = run("step", inputs).get("next");
        }
        return clamped(x);
    }

    /** The same array, its values clamped to the bundle's range. */
    @SuppressWarnings("unchecked")
    Npy clamped(Npy x) {
        List<Double> range = (List<Double>) manifest.get("valueRange");
        if (range != null) for (int i = 0; i < x.data().length; i++) x.data()[i] = Math.max(range.get(0).floatValue(), Math.min(range.get(1).floatValue(), x.data()[i]));
        return x;
    }

    /** Elements of a sample. */
    int elements() {
        int elements = 1;
        for (long extent : sampleShape()) elements = Math.multiplyExact(elements, (int) extent);
        return elements;
    }

    @Override
    public void close() throws OrtException {
        for (OrtSession session : sessions.values()) session.close();
    }
}
