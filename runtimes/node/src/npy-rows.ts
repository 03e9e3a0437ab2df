/** `.npy` files larger than memory: read by rows along the first axis. */
import { open } from 'node:fs/promises';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import { decodeNpyHeader, npyHeaderLimit } from '@ratioflow/sdk/npy';
import type { TensorData } from '@ratioflow/sdk';
import { reasonOf } from './write-file.js';

/** An open file. Whoever opened it closes it. */
export interface NpyRows {
  readonly path: string;
  /** Of the whole array; the first extent counts the rows. */
  readonly shape: readonly number[];
  /** Whether elements are bytes (0 to 255 for images). */
  readonly bytes: boolean;
  /** Rows `first … first + count − 1`, with memory of their own. @throws {ArgumentError} outside the array */
  read(first: number, count: number): Promise<TensorData>;
  /** Closes the file; nothing can be read from it then. */
  close(): Promise<void>;
}

/** Node reads less than 2 GiB at once. */
const largestRead = 2 ** 30;

/** Opens an array of at least one axis. @throws {ArgumentError} when the file cannot be read; {FormatError} when it is no `.npy` */
export async function openNpyRows(path: string): Promise<NpyRows> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new ArgumentError(`${path} cannot be read: ${(cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file.' : reasonOf(cause)}`, { cause });
  });
  const readBytes = async (from: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await file.read(bytes, filled, Math.min(length - filled, largestRead), from + filled);
      if (bytesRead === 0) throw new FormatError(`${path} ended at byte ${from + filled}: was it changed while being read?`);
      filled += bytesRead;
    }
    return bytes;
  };
  try {
    const { size } = await file.stat();
    const layout = decodeNpyHeader(await readBytes(0, Math.min(size, npyHeaderLimit)), size, path);
    const [rows, ...rest] = layout.shape;
    if (rows === undefined) throw new FormatError(`${path} holds a single number; expected an array of samples.`);
    const stride = rest.reduce((a, b) => a * b, layout.elementBytes);
    return {
      path,
      shape: layout.shape,
      bytes: layout.elementBytes === 1,
      read: async (first, count) => {
        if (!(Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 && count >= 0 && first + count <= rows)) {
          throw new ArgumentError(`${path} has ${rows} rows; rows ${first} to ${first + count - 1} were asked for.`);
        }
        return layout.decode((await readBytes(layout.dataStart + first * stride, count * stride)).buffer);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
