/** The small file beside an ONNX feature extractor that says how it is fed and read. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ArgumentError } from '@ratioflow/sdk';
import { parse } from 'yaml';
import { z } from 'zod';
import { ConfigError } from '../errors.js';
import { resizeMethods } from './resample.js';

/** One number for all channels, or one for each. */
const forChannels = (one: z.ZodType<number>): z.ZodType<number[]> => z.union([one.transform((value) => [value]), z.array(one)]);

const schema = z.strictObject({
  /** File of the model, relative to this one; the `.onnx` of the same name when left out. */
  model: z.string().min(1).optional(),
  /** Names of its input and of the output that holds the features; the only ones when left out. */
  input: z.string().min(1).optional(),
  output: z.string().min(1).optional(),
  /** Side, or [height, width], of the images that it wants; that of the images themselves when left out. */
  size: z.union([z.int().min(1), z.tuple([z.int().min(1), z.int().min(1)])]).optional(),
  /** How images of another size are resized; `none` refuses them. */
  resize: z.enum(['none', ...resizeMethods]).default('none'),
  /** Whether the kernel widens where images are made smaller, as in Pillow. */
  antialias: z.boolean().default(false),
  /** 1: grey, 3: red, green, blue. Grey images are repeated where it wants three. */
  channels: z.union([z.literal(1), z.literal(3)]).default(3),
  /** Whether values are rounded to the 256 levels of an image file first, as if images had been saved. */
  quantise: z.boolean().default(true),
  /** What black and white become, before mean and std. */
  range: z.tuple([z.number(), z.number()]).default([0, 1]),
  /** Subtracted from each channel, then divided by: one number, or one for each. */
  mean: forChannels(z.number()).default([0]),
  std: forChannels(z.number().positive()).default([1]),
  layout: z.enum(['nchw', 'nhwc']).default('nchw'),
  /** How features with places, [N, D, h, w] (nhwc: [N, h, w, D]), become [N, D]. */
  pooling: z.enum(['none', 'mean', 'max']).default('none'),
  /** Images that go through together. */
  batch: z.int().min(1).default(32),
});

/** A complete description. */
export type ExtractorDescription = z.infer<typeof schema>;

/**
 * Reads a description: the file itself (`.yaml`, `.yml`, `.json`), or the one of the same name beside a model `.onnx`.
 * @throws {ArgumentError} when there is none; {ConfigError} naming the field that is wrong
 */
export async function readDescription(path: string): Promise<{ description: ExtractorDescription; model: string }> {
  const stem = path.replace(/\.(onnx|ya?ml|json)$/i, '');
  if (stem === path) throw new ArgumentError(`The extractor ${path} is neither a model (.onnx) with a description beside it, nor a description (.yaml, .json).`);
  const candidates = /\.onnx$/i.test(path) ? ['yaml', 'yml', 'json'].map((ending) => `${stem}.${ending}`) : [path];
  for (const candidate of candidates) {
    const text = await readFile(candidate, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    let tree: unknown;
    try {
      tree = parse(text) ?? {};
    } catch (cause) {
      throw new ConfigError(`${candidate} is neither YAML nor JSON: ${(cause as Error).message.split('\n')[0]!}`, { cause });
    }
    const result = schema.safeParse(tree);
    if (!result.success) throw new ConfigError(`${candidate} describes no extractor: ${result.error.issues.map(({ path: at, message }) => `${at.join('.') || 'the file'}: ${message}`).join('; ')}.`);
    const { mean, std, channels, range } = result.data;
    for (const [name, values] of Object.entries({ mean, std })) {
      if (values.length !== 1 && values.length !== channels) throw new ConfigError(`${candidate}: ${name} has ${values.length} values; the extractor has ${channels} channels: give one value, or one for each.`);
    }
    if (range[0] === range[1]) throw new ConfigError(`${candidate}: range is [${range.join(', ')}]; black and white must differ.`);
    return { description: result.data, model: join(dirname(candidate), result.data.model ?? `${stem.split(/[\\/]/).at(-1)!}.onnx`) };
  }
  throw new ArgumentError(`The extractor ${path} has no description: write ${candidates[0]!}, for example with "size: 299", "resize: bilinear", "range: [-1, 1]" (docs/evaluation.md has every field).`);
}
