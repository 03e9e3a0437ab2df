/** The published test vectors (made by the Python implementation) against the SDK. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fillUniforms, fillWords, normals, streamKey, threefry2x32, trainingSeed } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { quantileKnots } from '../../sdk/src/noise/inverse-normal.js';

interface Stream {
  seed: string;
  purpose: number;
  step: number;
  firstSample: number;
  count: number;
  elements: number;
}

interface Vectors {
  threefry: { key: string[]; counter: string[]; words: string[] }[];
  streamKeys: { seed: string; purpose: number; step: number; key: string[] }[];
  trainingSeeds: { seed: string; iteration: number; trainingSeed: string }[];
  knots: { selected: { index: number; float64: string }[]; sha256: string };
  streams: (Stream & { words: string[]; uniformsFloat64: string[]; normalsFloat32: string[] })[];
  digests: (Stream & { words: string; uniformsFloat64: string; normalsFloat32: string })[];
}

const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8')) as Vectors;

type Values = Uint32Array | Float32Array | Float64Array;

function bytes(values: Values): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

/** Bit patterns as they stand in the file. */
function hex(values: Values): string[] {
  const width = values.BYTES_PER_ELEMENT;
  return Array.from(values, (_, i) => Buffer.from(bytes(values).subarray(i * width, (i + 1) * width)).reverse().toString('hex'));
}

const sha256 = (values: Values): string => createHash('sha256').update(bytes(values)).digest('hex');

function all(stream: Stream): { words: Uint32Array; uniforms: Float64Array; normals: Float32Array } {
  const words = new Uint32Array(stream.count * stream.elements);
  const uniforms = new Float64Array(words.length);
  fillWords(words, stream, stream);
  fillUniforms(uniforms, stream, stream);
  return { words, uniforms, normals: normals(stream) };
}

describe('published vectors', () => {
  it.each(vectors.threefry)('threefry $key $counter', ({ key, counter, words }) => {
    const [k0, k1, c0, c1] = [...key, ...counter].map((word) => parseInt(word, 16)) as [number, number, number, number];
    expect(hex(Uint32Array.from(threefry2x32(k0, k1, c0, c1)))).toEqual(words);
  });

  it.each(vectors.streamKeys)('stream key $seed $purpose $step', ({ key, ...stream }) => {
    expect(hex(Uint32Array.from(streamKey(stream)))).toEqual(key);
  });

  it.each(vectors.trainingSeeds)('training seed $seed $iteration', ({ seed, iteration, trainingSeed: expected }) => {
    expect(trainingSeed(seed, iteration).toString()).toBe(expected);
  });

  it('knots', () => {
    const knots = quantileKnots();
    for (const { index, float64 } of vectors.knots.selected) expect(hex(knots.slice(index, index + 1))).toEqual([float64]);
    expect(sha256(knots)).toBe(vectors.knots.sha256);
  });

  it.each(vectors.streams)('stream $seed $purpose $step from $firstSample', (stream) => {
    const values = all(stream);
    expect(hex(values.words)).toEqual(stream.words);
    expect(hex(values.uniforms)).toEqual(stream.uniformsFloat64);
    expect(hex(values.normals)).toEqual(stream.normalsFloat32);
  });

  it.each(vectors.digests)('digest $seed $purpose $step from $firstSample', (stream) => {
    const values = all(stream);
    expect(sha256(values.words)).toBe(stream.words);
    expect(sha256(values.uniforms)).toBe(stream.uniformsFloat64);
    expect(sha256(values.normals)).toBe(stream.normalsFloat32);
  });
});
