/** Features of images: any ONNX network with a description, the built-in one of digits, or the values themselves. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { createRuntime, type ProviderName } from '@ratioflow/node';
import { ArgumentError, RuntimeError, type FloatTensor, type Session, type Tensor } from '@ratioflow/sdk';
import { digitsExtractor, digitsName } from './digits-extractor.js';
import { readDescription, type ExtractorDescription } from './extractor-description.js';
import { resizer, type Resizer } from './resample.js';

/** Whoever opened it disposes of it. */
export interface Extractor {
  readonly name: string;
  /** Hash of everything that features depend on: model, external weights, description. */
  readonly sha256: string;
  /** null: of the values themselves. */
  readonly description: ExtractorDescription | null;
  /** What else is known of the built-in one: how it was trained, and how good it is. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Channels that it wants; null: any. */
  readonly channels: 1 | 3 | null;
  readonly provider: string;
  /** Engine and version. */
  readonly runtime: string;
  readonly warnings: readonly string[];
  /**
   * Features [N, D] of samples [N, …], images with values in [−1, 1].
   * @throws {ArgumentError} when the samples or what comes out do not fit; {RuntimeError} from the engine
   */
  features(samples: FloatTensor): Promise<FloatTensor>;
  dispose(): Promise<void>;
}

export interface ExtractorOptions {
  readonly providers?: readonly ProviderName[] | undefined;
  readonly threads?: number | undefined;
  /** Instead of the description's. */
  readonly quantise?: boolean | undefined;
  /** While the built-in one is trained. */
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** The name of the extractor that returns the values themselves, for points and for tests. */
export const rawValues = 'raw';

/**
 * @param path a model `.onnx` with its description beside it, a description, `digits` (trained on first use), or `raw`
 * @throws {ArgumentError | ConfigError | RuntimeError} naming the file
 */
export async function openExtractor(path: string, options: ExtractorOptions = {}): Promise<Extractor> {
  if (path === rawValues) return raw();
  if (path === digitsName) {
    const { model, facts } = await digitsExtractor({ signal: options.signal, onMessage: options.onMessage });
    return { ...await openNetwork(model, options), name: digitsName, facts };
  }
  return openNetwork(path, options);
}

async function openNetwork(path: string, options: ExtractorOptions): Promise<Extractor> {
  const { description: read, model } = await readDescription(path);
  const description = { ...read, ...(options.quantise !== undefined && { quantise: options.quantise }) };
  const bytes = await readFile(model).catch((cause: unknown) => {
    throw new ArgumentError(`The extractor's model ${model} cannot be read: ${(cause as Error).message}.`, { cause });
  });
  const hashes = new Map([['model', hashOf(bytes)]]);
  const runtime = createRuntime({ ...(options.providers && { providers: options.providers }), ...(options.threads !== undefined && { threads: options.threads }) });
  const session = await runtime.load({
    name: model, model: new Uint8Array(bytes),
    externalData: async (location) => {
      if (isAbsolute(location) || normalize(location).startsWith('..')) throw new ArgumentError(`${model} wants weights outside its folder: ${location}.`);
      const file = join(dirname(model), location);
      const data = await readFile(file).catch((cause: unknown) => {
        throw new ArgumentError(`${model} keeps weights in ${file}, which cannot be read: ${(cause as Error).message}. Put the file of that name beside it, or export the model with its weights inside.`, { cause });
      });
      hashes.set(location, hashOf(data));
      return new Uint8Array(data);
    },
  });
  try {
    const [input, output] = [pick(model, 'input', session.inputNames, description.input), pick(model, 'output', session.outputNames, description.output)];
    const prepare = preparation(model, description);
    return {
      name: path,
      sha256: hashOf(JSON.stringify([[...hashes].sort(), { ...description, model: '' }])),
      description,
      facts: {},
      channels: description.channels,
      provider: session.provider,
      runtime: runtime.name,
      warnings: runtime.warnings,
      features: (samples) => inBatches(samples, description.batch, async (part) => read2d(model, description, part.shape[0]!, await run(session, model, input, output, prepare(part), part.shape))),
      dispose: () => session.dispose(),
    };
  } catch (error) {
    await session.dispose();
    throw error;
  }
}

function raw(): Extractor {
  return {
    name: rawValues, sha256: hashOf(rawValues), description: null, facts: {}, channels: null, provider: 'none', runtime: 'none', warnings: [],
    features: (samples) => Promise.resolve({ shape: [samples.shape[0]!, samples.data.length / samples.shape[0]!], data: samples.data }),
    dispose: () => Promise.resolve(),
  };
}

function pick(model: string, side: 'input' | 'output', names: readonly string[], wanted: string | undefined): string {
  if (side === 'input' && names.length > 1) throw new ArgumentError(`${model} has ${names.length} inputs (${names.join(', ')}); an extractor takes images alone.`);
  const found = wanted ?? (names.length === 1 ? names[0] : undefined);
  if (found === undefined) throw new ArgumentError(`${model} has several ${side}s (${names.join(', ')}): name one in the description's ${side}.`);
  if (!names.includes(found)) throw new ArgumentError(`${model} has no ${side} ${JSON.stringify(found)}, which its description names; it has ${names.join(', ')}.`);
  return found;
}

async function run(session: Session, model: string, input: string, output: string, images: Tensor, given: readonly number[]): Promise<Tensor> {
  try {
    return (await session.run({ [input]: images }, [output]))[output]!;
  } catch (cause) {
    const message = (cause as Error).message.replace(/\s+/g, ' ').replace(/\.+$/, '');
    // The weights may well be of float16; what goes in and comes out must not.
    const remedy = /data type|; supported:/.test(message) ? 'Extractors take float32 and return float32 or float64: convert the model with keep_io_types=True (onnxconverter_common.float16), or cast its input and output' : 'Compare size, channels, layout and batch of its description with the model';
    throw new RuntimeError(`${model} does not take images [${given.join(', ')}], prepared as [${images.shape.join(', ')}], at its input ${input}: ${message}. ${remedy}.`, { cause });
  }
}

/** Quantised, resized, repeated, scaled and laid out as described. */
function preparation(model: string, { size, resize, antialias, channels, quantise, range: [low, high], mean, std, layout }: ExtractorDescription): (images: FloatTensor) => FloatTensor {
  const resizers = new Map<string, Resizer>();
  return ({ shape, data }) => {
    const [count, from, height, width] = shape as [number, number, number, number];
    if (shape.length !== 4) throw new ArgumentError(`${model} takes images; these samples have the shape [${shape.slice(1).join(', ')}]. For points use the extractor "${rawValues}".`);
    if (from !== channels && from !== 1) throw new ArgumentError(`${model} takes images of ${channels} channel${channels === 1 ? '' : 's'}, these have ${from}: [${shape.slice(1).join(', ')}].`);
    const [toHeight, toWidth] = size === undefined ? [height, width] : typeof size === 'number' ? [size, size] : size;
    if (resize === 'none' && (toHeight !== height || toWidth !== width)) {
      throw new ArgumentError(`${model} takes images of ${toHeight} × ${toWidth}, these have ${height} × ${width}: say in its description how they are to be resized (resize: ${resizeHint}).`);
    }
    const key = `${height} ${width}`;
    const resized = resizers.get(key) ?? resizer([height, width], [toHeight, toWidth], resize === 'none' ? 'nearest' : resize, antialias);
    resizers.set(key, resized);
    const values = resized(quantise ? data.map((value) => Math.min(255, Math.max(0, Math.round((value + 1) * 127.5))) / 127.5 - 1) : data);
    const pixels = toHeight * toWidth;
    const out = new Float32Array(count * channels * pixels);
    for (let c = 0; c < channels; c++) {
      const [m, s] = [mean[mean.length === 1 ? 0 : c]!, std[std.length === 1 ? 0 : c]!];
      for (let n = 0; n < count; n++) {
        const source = (n * from + (from === 1 ? 0 : c)) * pixels;
        const [start, stride] = layout === 'nchw' ? [(n * channels + c) * pixels, 1] : [n * channels * pixels + c, channels];
        for (let i = 0; i < pixels; i++) out[start + i * stride] = (low + (values[source + i]! + 1) / 2 * (high - low) - m) / s;
      }
    }
    return { shape: layout === 'nchw' ? [count, channels, toHeight, toWidth] : [count, toHeight, toWidth, channels], data: out };
  };
}

const resizeHint = 'bilinear, with antialias: true as in Pillow';

/** [N, D] of what came out. */
function read2d(model: string, { pooling, layout }: ExtractorDescription, count: number, { shape, data }: Tensor): FloatTensor {
  const fail = (problem: string): never => {
    throw new ArgumentError(`${model} returned features of shape [${shape.join(', ')}] for ${count} images: ${problem}.`);
  };
  if (!(data instanceof Float32Array || data instanceof Float64Array)) fail('they are integers. Extractors return float32 or float64');
  if (shape[0] !== count || shape.length < 2) fail(`expected [${count}, D]`);
  const places = shape.length === 4 ? (layout === 'nchw' ? shape[2]! * shape[3]! : shape[1]! * shape[2]!) : 1;
  const dimension = data.length / count / places;
  if (shape.length !== 2 && shape.length !== 4) fail('expected [N, D], or [N, D, h, w] with pooling');
  if (places > 1 && pooling === 'none') fail('say in its description how they are pooled (pooling: mean)');
  const values = Float32Array.from({ length: count * dimension }, (_, at) => {
    const [n, d] = [Math.floor(at / dimension), at % dimension];
    const [start, stride] = layout === 'nchw' ? [at * places, 1] : [n * places * dimension + d, dimension];
    let pooled = Number(data[start]);
    for (let i = 1; i < places; i++) pooled = pooling === 'max' ? Math.max(pooled, Number(data[start + i * stride])) : pooled + Number(data[start + i * stride]);
    return pooling === 'max' ? pooled : pooled / places;
  });
  const wrong = values.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) fail(`feature ${wrong % dimension} of image ${Math.floor(wrong / dimension)} is ${values[wrong]!}`);
  return { shape: [count, dimension], data: values };
}

/** Every batch is whole, since models of a fixed one take no less: the last is filled up with its last image. */
async function inBatches({ shape, data }: FloatTensor, batch: number, run: (part: FloatTensor) => Promise<FloatTensor>): Promise<FloatTensor> {
  const [count, ...sampleShape] = shape as [number, ...number[]];
  const length = data.length / count;
  let all: Float32Array | undefined;
  let dimension = 0;
  for (let first = 0; first < count; first += batch) {
    const size = Math.min(batch, count - first);
    let part = data.subarray(first * length, (first + size) * length);
    if (size < batch) {
      part = new Float32Array(batch * length);
      for (let i = 0; i < batch; i++) part.set(data.subarray(Math.min(first + i, count - 1) * length, Math.min(first + i + 1, count) * length), i * length);
    }
    const features = await run({ shape: [batch, ...sampleShape], data: part });
    dimension = features.shape[1]!;
    all ??= new Float32Array(count * dimension);
    all.set(features.data.subarray(0, size * dimension), first * dimension);
  }
  return { shape: [count, dimension], data: all ?? new Float32Array(0) };
}

const hashOf = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');
