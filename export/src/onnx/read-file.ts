/** A model from a file, with the tensors that it keeps in files beside it. */
import { open, readFile, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { ModelFormatError } from '../errors.js';
import type { ExternalData } from '../ir/constant.js';
import type { Model } from '../ir/types.js';
import { readModel, type ExternalReader } from './read.js';

/** Options of {@link readModelFile}. */
export interface ReadFileOptions {
  /**
   * Tensors of more bytes than this stay in their file: the model only says where they lie, and what is written of it must go
   * to the same folder. Models beyond 2 GB need no memory for their weights this way. @default Infinity
   */
  readonly keepBeyond?: number;
}

/**
 * Reads a model and its external data into memory.
 * @throws {ModelFormatError} for a file that cannot be read, is no model, or whose external data is missing, too short or outside its folder
 * @throws {GraphError} for a graph that contradicts itself
 */
export async function readModelFile(path: string, { keepBeyond = Infinity }: ReadFileOptions = {}): Promise<Model> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ModelFormatError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
  });
  const wanted = new Map<string, { readonly name: string; readonly data: ExternalData }>();
  const note = (name: string, data: ExternalData): undefined => {
    wanted.set(keyOf(data), { name, data });
  };
  const model = readNamed(path, bytes, note);
  if (wanted.size === 0) return model;
  const found = new Map<string, Uint8Array>();
  for (const [key, { name, data }] of wanted) {
    const range = await readRange(path, name, data, data.length <= keepBeyond);
    if (range) found.set(key, range);
  }
  // Once more, since shapes and axes that lie outside tell the types of what follows.
  return readModel(bytes, (_, data) => found.get(keyOf(data)));
}

/** What is no model is told by its file's name. */
function readNamed(path: string, bytes: Uint8Array, external: ExternalReader): Model {
  try {
    return readModel(bytes, external);
  } catch (cause) {
    if (cause instanceof ModelFormatError) throw new ModelFormatError(`${path}: ${cause.message}`, { cause });
    throw cause;
  }
}

const keyOf = ({ location, offset, length }: ExternalData): string => JSON.stringify([location, offset, length]);

/** Only what the tensor needs: the file may be larger than memory allows in one piece. @param load false: only looks whether it is there */
async function readRange(path: string, name: string, { location, offset, length }: ExternalData, load: boolean): Promise<Uint8Array | undefined> {
  const where = `${path}: tensor ${JSON.stringify(name)}`;
  const missing = (cause: unknown): never => {
    throw new ModelFormatError(`${where} lies in ${JSON.stringify(location)}, which cannot be read: ${(cause as Error).message}. Copy that file together with the model.`, { cause });
  };
  const folder = await realpath(dirname(path));
  const file = await realpath(join(folder, location)).catch(missing);
  if (!file.startsWith(folder.endsWith(sep) ? folder : folder + sep)) throw new ModelFormatError(`${where} lies in ${JSON.stringify(location)}, a link that leads out of the model's folder: refused.`);
  const handle = await open(file, 'r').catch(missing);
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new ModelFormatError(`${where} lies in ${JSON.stringify(location)}, which is no regular file.`);
    if (offset + length > status.size) throw new ModelFormatError(`${where} needs bytes ${offset} to ${offset + length} of ${JSON.stringify(location)}, which has ${status.size}: the file is truncated or belongs to another model.`);
    if (!load) return undefined;
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) throw new ModelFormatError(`${where}: ${JSON.stringify(location)} ended early.`);
      filled += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}
