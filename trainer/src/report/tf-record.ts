/**
 * The framing of TensorFlow's record files: length, its checksum, data, their checksum; CRC-32C, masked. tfjs-node has a
 * writer of event files, but only with the native backend, without pictures, and it cannot take a line back.
 */

/** CRC-32C (Castagnoli), the polynomial reflected. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** Checksum of `bytes` by which iSCSI, ext4 and TensorFlow notice damage. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** A checksum of data that hold checksums themselves would be weak: TensorFlow rotates it and adds a constant. */
const masked = (bytes: Uint8Array): number => {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

const [lengthBytes, checksumBytes] = [8, 4];
const overhead = lengthBytes + 2 * checksumBytes;

/** One record around `data`. */
export function encodeRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + overhead);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(lengthBytes, masked(record.subarray(0, lengthBytes)), true);
  record.set(data, lengthBytes + checksumBytes);
  view.setUint32(record.length - checksumBytes, masked(data), true);
  return record;
}

/** The data of the records in a file, up to the first that is cut off or damaged. */
export function* decodeRecords(file: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + overhead <= file.length;) {
    const length = Number(view.getBigUint64(at, true));
    const end = at + overhead + length;
    const data = file.subarray(at + lengthBytes + checksumBytes, end - checksumBytes);
    if (view.getUint32(at + lengthBytes, true) !== masked(file.subarray(at, at + lengthBytes)) || end > file.length) return;
    if (view.getUint32(end - checksumBytes, true) !== masked(data)) return;
    yield data;
    at = end;
  }
}
