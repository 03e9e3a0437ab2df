/**
 * `.npy` files, the exchange format of arrays.
 */
import { readFile } from 'node:fs/promises';
import { ArgumentError } from '@ratioflow/sdk';
import { decodeNpy, encodeNpy } from '@ratioflow/sdk/npy';
import type { Tensor } from '@ratioflow/sdk';
import { reasonOf, writeFileAtomic } from './write-file.js';

/** Reads an array. @throws {ArgumentError} when the file cannot be read; {FormatError} when it is no `.npy` */
export async function readNpy(path: string): Promise<Tensor> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new ArgumentError(`${path} cannot be read: ${missing ? 'there is no such file.' : reasonOf(cause)}`, { cause });
  }
  return decodeNpy(bytes, path);
}

/** Writes an array; complete or not at all. */
export const writeNpy = (path: string, tensor: Tensor): Promise<void> => writeFileAtomic(path, encodeNpy(tensor));
