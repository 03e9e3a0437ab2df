/**
 * The only way from the bytes of a manifest.json to a `Manifest`. The bytes are untrusted: every field is checked by
 * hand, unknown fields are dropped, and whatever is wrong ends in a BundleError that names field, value and what is
 * allowed. Nothing here opens a file.
 */
import { finite, integer, list, oneOf, record, show, text } from './check.js';
import type { Fail } from './check.js';
import { BundleError } from './errors.js';
import { globals } from './globals.js';
import { extraInputs, formatVersion, graphFiles, graphTensors, halfWeightsFile, weightsFile } from './manifest.js';
import type { FileRecord, GraphName, GuidanceRecord, Manifest, PriorRecord, Tolerance, TrainingRecord, VerificationVector } from './manifest.js';
import { pairingNames } from './pairing.js';

/** Largest manifest.json that is read, in bytes. */
export const maxManifestBytes = 16 * 2 ** 20;
/** Largest number of elements in one sample: room for 3 × 2048². */
const maxElements = 2 ** 24;
const maxSteps = 1_000_000;
const vectorPattern = /^verify\/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.npy$/;

const fail: Fail = (field, value, allowed) => {
  throw new BundleError(`manifest.json: ${field} is ${show(value)}; allowed: ${allowed}.`);
};

/**
 * Reads and checks the manifest of a bundle.
 * @param bytes the file as it is
 * @throws {BundleError} whatever is wrong with it
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const root = record(fail, 'the document', parseJson(bytes));
  const version = integer(fail, 'formatVersion', root.formatVersion, 1, Number.MAX_SAFE_INTEGER);
  if (version > formatVersion) {
    throw new BundleError(`manifest.json: the bundle has format version ${version}; this SDK reads up to ${formatVersion}: upgrade ratioflow.`);
  }
  const files = parseFiles(root.files);
  return {
    formatVersion: version,
    name: text(fail, 'name', root.name, 200),
    sampleShape: parseShape(root.sampleShape),
    valueRange: parseRange(root.valueRange),
    pairing: oneOf(fail, 'pairing', root.pairing, pairingNames),
    eta: finite(fail, 'eta', root.eta, 0),
    nu: finite(fail, 'nu', root.nu, 0),
    K: integer(fail, 'K', root.K, 0, maxSteps),
    kappa: integer(fail, 'kappa', root.kappa, 0, maxSteps),
    prior: parsePrior(root.prior),
    classNames: root.classNames === null ? null
      : list(fail, 'classNames', root.classNames, 100_000).map((name, i) => text(fail, `classNames[${i}]`, name, 200)),
    opset: integer(fail, 'opset', root.opset, 1, 1000),
    files,
    training: root.training === null ? null : parseTraining(root.training),
    tolerances: parseTolerances(root.tolerances),
    verification: list(fail, 'verification', root.verification, 1000).map((vector, i) => parseVector(`verification[${i}]`, vector, files)),
    ...(root.departures !== undefined && { departures: list(fail, 'departures', root.departures, 10_000).map((line, i) => text(fail, `departures[${i}]`, line, 2000)) }),
    ...(root.unrolled !== undefined && { unrolled: integer(fail, 'unrolled', root.unrolled, 1, maxSteps) }),
    ...(root.guidance !== undefined && { guidance: parseGuidance(root.guidance) }),
    ...(root.mixture !== undefined && { mixture: list(fail, 'mixture', root.mixture, 1000).map((weight, i) => finite(fail, `mixture[${i}]`, weight)) }),
  };
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.byteLength > maxManifestBytes) throw new BundleError(`manifest.json has ${bytes.byteLength} bytes; allowed: at most ${maxManifestBytes}.`);
  try {
    return JSON.parse(new globals.TextDecoder('utf-8', { fatal: true }).decode(bytes), (key, value: unknown) => {
      // Such a key is harmless here but not in whoever merges the training record into another object.
      if (key === '__proto__') throw new Error('the key "__proto__" is not allowed');
      return value;
    });
  } catch (cause) {
    throw new BundleError(`manifest.json is not a JSON document in UTF-8: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

function parseShape(value: unknown): readonly number[] {
  const shape = list(fail, 'sampleShape', value, 3).map((extent, i) => integer(fail, `sampleShape[${i}]`, extent, 1, maxElements));
  if (shape.length !== 1 && shape.length !== 3) fail('sampleShape', shape, '[C, H, W] for images or [D] for points');
  if (shape.reduce((a, b) => a * b, 1) > maxElements) fail('sampleShape', shape, `at most ${maxElements} elements`);
  return shape;
}

function parseRange(value: unknown): readonly [number, number] | null {
  if (value === null) return null;
  const range = list(fail, 'valueRange', value, 2);
  const low = finite(fail, 'valueRange[0]', range[0]);
  const high = finite(fail, 'valueRange[1]', range[1]);
  if (low >= high) fail('valueRange', value, 'null or [low, high] with low < high');
  return [low, high];
}

function parsePrior(value: unknown): PriorRecord {
  const prior = record(fail, 'prior', value);
  return {
    kind: oneOf(fail, 'prior.kind', prior.kind, ['ddp', 'uniform', 'gaussian', 'source']),
    z: oneOf(fail, 'prior.z', prior.z, ['normal', 'uniform']),
  };
}

function parseGuidance(value: unknown): GuidanceRecord {
  const { classes, scale } = record(fail, 'guidance', value);
  return { classes: integer(fail, 'guidance.classes', classes, 1, 2 ** 31), scale: finite(fail, 'guidance.scale', scale) };
}

/** The names are fixed, so that none can point out of the bundle. */
function parseFiles(value: unknown): Readonly<Record<string, FileRecord>> {
  const known: readonly string[] = [...Object.keys(graphTensors).map((graph) => `${graph}.onnx`), weightsFile, halfWeightsFile];
  const entries = Object.entries(record(fail, 'files', value));
  if (entries.length > 10_000) fail('files', `an object of ${entries.length}`, 'at most 10000 files');
  for (const [name] of entries) {
    if (!known.includes(name) && !vectorPattern.test(name)) fail('a name in files', name, `${known.join(', ')} or verify/<name>.npy`);
  }
  for (const name of Object.values(graphFiles)) {
    if (!entries.some(([present]) => present === name)) throw new BundleError(`manifest.json: files lacks ${name}, which every bundle holds.`);
  }
  return mapRecord(entries, (name, entry) => {
    const file = record(fail, `files[${show(name)}]`, entry);
    const sha256 = file.sha256;
    if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) return fail(`files[${show(name)}].sha256`, sha256, '64 hexadecimal digits in lower case');
    return { size: integer(fail, `files[${show(name)}].size`, file.size, 0, Number.MAX_SAFE_INTEGER), sha256 };
  });
}

function parseTraining(value: unknown): TrainingRecord {
  const training = record(fail, 'training', value);
  const seed = training.seed;
  if (typeof seed !== 'string' || !/^\d{1,20}$/.test(seed)) return fail('training.seed', seed, 'an integer as a string of decimal digits');
  return {
    dataset: text(fail, 'training.dataset', training.dataset, 1000),
    iterations: integer(fail, 'training.iterations', training.iterations, 0, Number.MAX_SAFE_INTEGER),
    seed,
    config: record(fail, 'training.config', training.config),
    versions: mapRecord(Object.entries(record(fail, 'training.versions', training.versions)),
      (name, version) => text(fail, `training.versions[${show(name)}]`, version, 200)),
  };
}

function parseTolerances(value: unknown): Readonly<Record<string, Tolerance>> {
  const tolerances = mapRecord(Object.entries(record(fail, 'tolerances', value)), (name, entry) => parseTolerance(`tolerances[${show(name)}]`, entry));
  if (!Object.hasOwn(tolerances, 'default')) fail('tolerances', value, 'an object with an entry "default"');
  return tolerances;
}

function parseTolerance(field: string, value: unknown): Tolerance {
  const tolerance = record(fail, field, value);
  return { absolute: finite(fail, `${field}.absolute`, tolerance.absolute, 0), relative: finite(fail, `${field}.relative`, tolerance.relative, 0) };
}

function parseVector(field: string, value: unknown, files: Readonly<Record<string, FileRecord>>): VerificationVector {
  const vector = record(fail, field, value);
  const graph = oneOf(fail, `${field}.graph`, vector.graph, Object.keys(graphTensors).filter((name) => Object.hasOwn(files, `${name}.onnx`)) as GraphName[]);
  const tensors = (side: 'inputs' | 'outputs'): Record<string, string> =>
    mapRecord(Object.entries(record(fail, `${field}.${side}`, vector[side])), (name, file) => {
      oneOf(fail, `a name in ${field}.${side}`, name, [...graphTensors[graph][side], ...(side === 'inputs' ? extraInputs : [])]);
      if (typeof file !== 'string' || !vectorPattern.test(file) || !Object.hasOwn(files, file)) return fail(`${field}.${side}.${name}`, file, 'a verify/<name>.npy that files lists');
      return file;
    });
  const inputs = tensors('inputs');
  const missing = graphTensors[graph].inputs.find((name) => !Object.hasOwn(inputs, name));
  if (missing !== undefined) fail(`${field}.inputs`, vector.inputs, `a file for every input of ${graph}; ${missing} is missing`);
  return { graph, inputs, outputs: tensors('outputs'), ...(vector.tolerance !== undefined && { tolerance: parseTolerance(`${field}.tolerance`, vector.tolerance) }) };
}

/** `Object.fromEntries` defines own properties, so that no key can reach a prototype. */
function mapRecord<T>(entries: readonly [string, unknown][], parse: (name: string, value: unknown) => T): Record<string, T> {
  return Object.fromEntries(entries.map(([name, value]) => [name, parse(name, value)]));
}
