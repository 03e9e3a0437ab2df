/**
 * The only way from the bytes of a manifest.json to a `Manifest`. The bytes are untrusted: every field is checked,
 * unknown fields are dropped, and whatever is wrong ends in a BundleError that names field, value and what is allowed.
 * Nothing here opens a file.
 */
import { accept, complaint, dictionary, finite, integer, list, nullable, object, oneOf, optional, pattern, record, text } from './check.js';
import type { Check, Fail } from './check.js';
import { BundleError, messageOf } from './errors.js';
import { globals } from './globals.js';
import { formatVersion, graphFiles, graphTensors, halfWeightsFile, weightsFile } from './manifest.js';
import type { FileRecord, GraphName, Manifest, Tolerance, VerificationVector } from './manifest.js';
import { pairingNames } from './pairing.js';
import { sizeOf } from './tensor.js';

/** Largest manifest.json that is read, in bytes. */
export const maxManifestBytes = 16 * 2 ** 20;
/** Largest number of elements in one sample: room for 3 × 2048². */
const maxElements = 2 ** 24;
/** A number of steps, from `min`. */
export const stepsFrom = (min: number): Check<number> => integer(min, 1_000_000);
const vectorPattern = /^verify\/\w[\w.-]{0,99}\.npy$/;

const fail: Fail = (...found) => {
  throw new BundleError(`manifest.json: ${complaint(...found)}`);
};

const version: Check<number> = (value, ...where) => {
  const found = integer(1)(value, ...where);
  return found > formatVersion ? fail('formatVersion', found, `at most ${formatVersion} in this SDK: upgrade ratioflow`) : found;
};

const sampleShape: Check<readonly number[]> = (value, field) => {
  const shape = list(integer(1, maxElements), 3)(value, field, fail);
  if (shape.length !== 1 && shape.length !== 3) fail(field, shape, '[C, H, W] for images or [D] for points');
  return sizeOf(shape) > maxElements ? fail(field, shape, `at most ${maxElements} elements`) : shape;
};

const valueRange: Check<readonly [number, number]> = (value, field) => {
  const range = list(finite(), 2)(value, field, fail);
  return range.length === 2 && range[0]! < range[1]! ? range as [number, number] : fail(field, value, 'null or [low, high] with low < high');
};

/** The names are fixed, so that none can point out of the bundle. */
const files: Check<Readonly<Record<string, FileRecord>>> = (value, field) => {
  const known: readonly string[] = [...Object.keys(graphTensors).map((graph) => `${graph}.onnx`), weightsFile, halfWeightsFile];
  const names = Object.keys(record(value, field, fail));
  const foreign = names.find((name) => !known.includes(name) && !vectorPattern.test(name));
  if (foreign !== undefined) fail(`a name in ${field}`, foreign, `${known.join(', ')} or verify/<name>.npy`);
  const missing = Object.values(graphFiles).find((name) => !names.includes(name));
  if (missing) throw new BundleError(`manifest.json: ${field} lacks ${missing}, which every bundle holds.`);
  return dictionary(object<FileRecord>({ size: integer(0), sha256: pattern(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits') }))(value, field, fail);
};

const tolerance = object<Tolerance>({ absolute: finite(0), relative: finite(0) });

const tolerances: Check<Readonly<Record<string, Tolerance>>> = (value, field) => {
  const known = dictionary(tolerance)(value, field, fail);
  return Object.hasOwn(known, 'default') ? known : fail(field, value, 'an object with an entry "default"');
};

const fields = object<Omit<Manifest, 'verification'>>({
  formatVersion: version,
  name: text(200),
  sampleShape,
  valueRange: nullable(valueRange),
  pairing: oneOf(pairingNames),
  eta: finite(0),
  nu: finite(0),
  K: stepsFrom(0),
  kappa: stepsFrom(0),
  prior: object({ kind: oneOf(['ddp', 'uniform', 'gaussian', 'source']), z: oneOf(['normal', 'uniform']) }),
  classNames: nullable(list(text(200), 100_000)),
  opset: integer(1, 1000),
  files,
  training: nullable(object({
    seed: pattern(/^\d{1,20}$/, 'an integer as a string of decimal digits'), dataset: text(1000), iterations: integer(0), config: record, versions: dictionary(text(200)),
  })),
  tolerances,
  departures: optional(list(text(2000), 10_000)),
  unrolled: optional(stepsFrom(1)),
  guidance: optional(object({ classes: integer(1, 2 ** 31), scale: finite() })),
  mixture: optional(list(finite(), 1000)),
});

/** A vector of a graph that the manifest lists, all its files listed as well. */
const vectorOf = (listed: Manifest['files']): Check<VerificationVector> => (value, field) => {
  const graphs = (Object.keys(graphTensors) as GraphName[]).filter((name) => Object.hasOwn(listed, `${name}.onnx`));
  const graph = oneOf(graphs)(record(value, field, fail).graph, `${field}.graph`, fail);
  const file = accept<string>((name) => typeof name === 'string' && vectorPattern.test(name) && Object.hasOwn(listed, name), 'a verify/<name>.npy that files lists');
  const tensors = (names: readonly string[]): Check<Readonly<Record<string, string>>> => (side, at) => {
    for (const name of Object.keys(record(side, at, fail))) oneOf(names)(name, `a name in ${at}`, fail);
    return dictionary(file)(side, at, fail);
  };
  const { inputs, extras, outputs } = graphTensors[graph];
  const vector = object<VerificationVector>({
    graph: () => graph, inputs: tensors([...inputs, ...extras]), outputs: tensors(outputs), tolerance: optional(tolerance),
  })(value, field, fail);
  const missing = inputs.find((name) => !Object.hasOwn(vector.inputs, name));
  return missing ? fail(`${field}.inputs`, vector.inputs, `a file for every input of ${graph}; ${missing} is missing`) : vector;
};

/**
 * Reads and checks the manifest of a bundle.
 * @param bytes the file as it is
 * @throws {BundleError} whatever is wrong with it
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  const root = parseJson(bytes);
  const manifest = fields(root, '', fail);
  return { ...manifest, verification: list(vectorOf(manifest.files), 1000)((root as Manifest).verification, 'verification', fail) };
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
    throw new BundleError(`manifest.json is no JSON in UTF-8: ${messageOf(cause)}`, { cause });
  }
}
