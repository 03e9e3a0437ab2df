/** A model from a file, with the tensors that it keeps in files beside it. */
import { open, readFile, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { ModelFormatError } from '../errors.js';
import type { Constant, ExternalData } from '../ir/constant.js';
import type { Graph, Model, Value } from '../ir/types.js';
import { readModel } from './read.js';

/**
 * Reads a model and its external data into memory.
 * @throws {ModelFormatError} for a file that cannot be read, is no model, or whose external data is missing, too short or outside its folder
 * @throws {GraphError} for a graph that contradicts itself
 */
export async function readModelFile(path: string): Promise<Model> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ModelFormatError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
  });
  const model = readModel(bytes);
  await loadConstants(model.graph, path);
  return model;
}

/** Replaces every constant that lies outside the model by one in memory, subgraphs included. */
async function loadConstants(graph: Graph, path: string): Promise<void> {
  for (const [value, constant] of graph.initializers) {
    if (isExternal(constant)) graph.initializers.set(value, { ...constant, data: await readRange(path, value, constant.data) });
  }
  for (const node of graph.nodes) {
    for (const attribute of node.attributes.values()) if (attribute.type === 'graph') await loadConstants(attribute.value, path);
  }
}

const isExternal = (constant: Constant): constant is Constant & { readonly data: ExternalData } => !(constant.data instanceof Uint8Array) && !Array.isArray(constant.data);

/** Only what the tensor needs: the file may be larger than memory allows in one piece. */
async function readRange(path: string, { name }: Value, { location, offset, length }: ExternalData): Promise<Uint8Array> {
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
