/**
 * Reads a stored tfjs model of either format from disk: `model.json` and the weight files beside it. Nothing outside the
 * model's folder is read, and sizes are checked before anything is decoded.
 */
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { ModelFormatError } from '../errors.js';
import type { TfjsArtifacts, WeightSpec } from './graph/artifacts.js';
import { storedBytes } from './graph/decode-weights.js';

/** A model as tfjs writes it, read from its files. */
export interface TfjsModel {
  /** `layers-model`: for `tf.loadLayersModel(tf.io.fromMemory(artifacts))`; `graph-model`: for `convertGraphModel(artifacts)`. */
  readonly format: 'layers-model' | 'graph-model';
  readonly artifacts: TfjsArtifacts & { readonly weightData: ArrayBuffer; readonly weightSpecs: WeightSpec[] };
}

interface WeightGroup { readonly paths: readonly string[]; readonly weights: readonly WeightSpec[] }

/**
 * Loads a model. @param path its folder, or the file itself
 * @throws {ModelFormatError} naming the file: not JSON, no model, a weight file that is missing, cut short or elsewhere
 */
export async function readTfjsModel(path: string): Promise<TfjsModel> {
  const file = (await kindOf(path)) === 'folder' ? join(path, 'model.json') : path;
  const json = await parse(file);
  const topology = json['modelTopology'];
  if (!isObject(topology)) throw new ModelFormatError(`${file}: holds no modelTopology: is this the model.json of a tfjs model?`);
  const format = formatOf(json['format'], topology, file);
  const groups = groupsOf(json['weightsManifest'], file);
  const folder = await realpath(dirname(file));
  const parts: Uint8Array[] = [];
  for (const group of groups) parts.push(...await readGroup(group, folder, file));
  const weightData = new ArrayBuffer(parts.reduce((total, part) => total + part.byteLength, 0));
  const target = new Uint8Array(weightData);
  let offset = 0;
  for (const part of parts) {
    target.set(part, offset);
    offset += part.byteLength;
  }
  const optional = Object.fromEntries(['generatedBy', 'convertedBy', 'signature', 'userDefinedMetadata', 'trainingConfig', 'modelInitializer', 'initializerSignature']
    .filter((key) => json[key] != null).map((key) => [key, json[key]]));
  return { format, artifacts: { format, ...optional, modelTopology: topology, weightSpecs: groups.flatMap(({ weights }) => weights), weightData } };
}

async function kindOf(path: string): Promise<'folder' | 'file'> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (cause) {
    throw new ModelFormatError(`${path}: there is no such file or folder; give the folder of a tfjs model or its model.json.`, { cause });
  }
}

async function parse(file: string): Promise<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new ModelFormatError(`${file}: ${cause instanceof SyntaxError ? `is not JSON (${cause.message})` : 'cannot be read'}.`, { cause });
  }
  if (!isObject(json)) throw new ModelFormatError(`${file}: holds no object: is this the model.json of a tfjs model?`);
  return json;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

function formatOf(format: unknown, topology: Record<string, unknown>, file: string): TfjsModel['format'] {
  if (format === 'graph-model' || format === 'layers-model') return format;
  if (format !== undefined && format !== null && format !== 'tfjs-layers-model') throw new ModelFormatError(`${file}: format is ${JSON.stringify(format)} (known: "graph-model", "layers-model").`);
  return Array.isArray(topology['node']) ? 'graph-model' : 'layers-model';
}

function groupsOf(manifest: unknown, file: string): WeightGroup[] {
  if (manifest === undefined || manifest === null) return [];
  const fits = (group: unknown): group is WeightGroup => isObject(group)
    && Array.isArray(group['paths']) && group['paths'].every((path) => typeof path === 'string')
    && Array.isArray(group['weights']) && group['weights'].every((weight) => isObject(weight) && typeof weight['name'] === 'string' && typeof weight['dtype'] === 'string');
  if (!Array.isArray(manifest) || !manifest.every(fits)) throw new ModelFormatError(`${file}: weightsManifest is not a list of groups with paths and weights.`);
  return manifest;
}

/** The bytes of a group's files, which together must be those that its weights take. */
async function readGroup({ paths, weights }: WeightGroup, folder: string, file: string): Promise<Uint8Array[]> {
  const needed = weights.reduce((total, spec) => total + storedBytes(spec), 0);
  const located = await Promise.all(paths.map((path) => locate(path, folder, file)));
  const total = located.reduce((sum, { size }) => sum + size, 0);
  if (total !== needed) {
    throw new ModelFormatError(`${file}: its weights take ${needed} bytes, ${paths.map((path, index) => `${path} (${located[index]!.size})`).join(', ') || 'no file'} ${paths.length > 1 ? 'have together' : 'has'} ${total}: incomplete, or of another model.`);
  }
  return Promise.all(located.map(({ path }) => readFile(path)));
}

async function locate(path: string, folder: string, file: string): Promise<{ path: string; size: number }> {
  const outside = new ModelFormatError(`${file}: its weight file ${JSON.stringify(path)} is outside the model's folder: refused.`);
  if (path === '' || isAbsolute(path) || /^[A-Za-z][A-Za-z0-9+.-]*:/.test(path) || path.split(/[\\/]/).includes('..')) throw outside;
  let real: string;
  try {
    real = await realpath(join(folder, path));
  } catch (cause) {
    throw new ModelFormatError(`${file}: its weight file ${JSON.stringify(path)} is missing; it belongs beside ${basename(file)}.`, { cause });
  }
  // A link may lead elsewhere.
  const inside = relative(folder, real);
  if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) throw outside;
  const status = await stat(real);
  if (!status.isFile()) throw new ModelFormatError(`${file}: its weight file ${JSON.stringify(path)} is no file.`);
  return { path: real, size: status.size };
}
