package ratioflow;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** An array as float32 and its file format; int64 and uint8 are read as well, their elements converted. */
public record Npy(long[] shape, float[] data) {
    private static final Pattern HEADER = Pattern.compile("\\{'descr': '(<f4|<i8|\\|u1)', 'fortran_order': False, 'shape': \\(([0-9, ]*)\\),? *\\}\\s*");

    /** Reads an array in C order. */
    public static Npy read(Path path) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.limit() < 12 || bytes.get(0) != (byte) 0x93 || bytes.get(1) != 'N') throw new IOException(path + " is no .npy file");
        int start = bytes.get(6) == 1 ? 10 : 12;
        int length = bytes.get(6) == 1 ? bytes.getShort(8) & 0xFFFF : bytes.getInt(8);
        Matcher header = HEADER.matcher(new String(bytes.array(), start, length, StandardCharsets.ISO_8859_1));
        if (!header.matches()) throw new IOException(path + " holds no array of float32, int64 or uint8 in C order (in NumPy: array.astype(\"<f4\"))");
        long[] shape = Arrays.stream(header.group(2).split(",")).map(String::trim).filter(extent -> !extent.isEmpty()).mapToLong(Long::parseLong).toArray();
        float[] data = new float[Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact))];
        String type = header.group(1);
        if (bytes.limit() - start - length != (long) Integer.parseInt(type.substring(2)) * data.length) throw new IOException(path + " is truncated");
        bytes.position(start + length);
        for (int i = 0; i < data.length; i++) data[i] = type.equals("<f4") ? bytes.getFloat() : type.equals("<i8") ? bytes.getLong() : bytes.get() & 0xFF;
        return new Npy(shape, data);
    }

    /** Writes beside the destination and renames, so that the file is there whole or not at all. */
    public void write(Path path) throws IOException {
        String extents = Arrays.stream(shape).mapToObj(extent -> extent + ",").collect(Collectors.joining(" "));
        String header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + extents + "), }";
        header += " ".repeat(63 - (10 + header.length()) % 64) + "\n";
        ByteBuffer bytes = ByteBuffer.allocate(10 + header.length() + 4 * data.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put("\u0093NUMPY\u0001\u0000".getBytes(StandardCharsets.ISO_8859_1)).putShort((short) header.length()).put(header.getBytes(StandardCharsets.ISO_8859_1));
        bytes.asFloatBuffer().put(data);
        Path temporary = path.resolveSibling("." + path.getFileName() + "." + ProcessHandle.current().pid());
        try {
            Files.write(temporary, bytes.array());
            Files.move(temporary, path, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }
}
