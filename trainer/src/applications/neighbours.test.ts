import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeNpy } from '@ratioflow/node';
import { normals, type FloatTensor } from '@ratioflow/sdk';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { neighbourFiles } from './neighbour-files.js';
import { nearestNeighbours } from './neighbours.js';
import { openSampleSource } from '../data/sample-source.js';

let folder: string;
beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'ratioflow-neighbours-')); });
afterAll(() => rm(folder, { recursive: true }));

const draw = (seed: number, count: number, shape: readonly number[]): FloatTensor => {
  const elements = shape.reduce((a, b) => a * b, 1);
  return { shape: [count, ...shape], data: normals({ seed, purpose: 4, step: 0, count, elements }).map((value) => Math.max(-1, Math.min(1, 0.4 * value))) };
};
async function* inParts({ shape, data }: FloatTensor, sizes: readonly number[]): AsyncGenerator<FloatTensor> {
  const elements = data.length / shape[0]!;
  let first = 0;
  for (const size of sizes) yield Promise.resolve({ shape: [size, ...shape.slice(1)], data: data.slice(first * elements, (first += size) * elements) });
}
/** All distances, one by one. */
function bruteForce(queries: FloatTensor, set: FloatTensor, k: number): { indices: number[][]; distances: number[][] } {
  const elements = queries.data.length / queries.shape[0]!;
  const rows = Array.from({ length: queries.shape[0]! }, (_, i) => Array.from({ length: set.shape[0]! }, (_, j) => {
    let sum = 0;
    for (let d = 0; d < elements; d++) sum += (queries.data[i * elements + d]! - set.data[j * elements + d]!) ** 2;
    return { j, distance: Math.sqrt(sum) };
  }).sort((a, b) => a.distance - b.distance || a.j - b.j).slice(0, k));
  return { indices: rows.map((row) => row.map(({ j }) => j)), distances: rows.map((row) => row.map(({ distance }) => distance)) };
}

describe('nearestNeighbours', () => {
  it('finds what comparing everything with everything finds, in any parts', async () => {
    const [queries, set] = [draw(1, 7, [1, 5, 5]), draw(2, 300, [1, 5, 5])];
    // A query that is in the set twice, and one that nearly is.
    set.data.set(queries.data.subarray(0, 25), 200 * 25);
    set.data.set(queries.data.subarray(0, 25), 100 * 25);
    set.data.set(queries.data.subarray(25, 50).map((value) => value + 1e-6), 299 * 25);
    const expected = bruteForce(queries, set, 5);
    for (const sizes of [[300], [1, 2, 250, 47], [...Array(100).fill(3) as number[]]]) {
      const { indices, distances, searched } = await nearestNeighbours(queries, inParts(set, sizes), { k: 5 });
      expect([indices, searched]).toEqual([expected.indices, 300]);
      distances.forEach((row, i) => row.forEach((distance, rank) => expect(distance).toBeCloseTo(expected.distances[i]![rank]!, 12)));
    }
    expect(expected.indices[0]!.slice(0, 2)).toEqual([100, 200]);
    expect(expected.indices[1]![0]).toBe(299);
  });

  it('finds the nearest of large features that differ little, in spite of what cancels', async () => {
    const apart = draw(2, 40, [64]);
    // Half of the features are large and the same: their squares leave the others less than a digit.
    const far = (data: Float32Array): Float32Array => data.map((value, i) => (i % 64 < 32 ? 1e7 : value));
    const [queries, set] = [{ shape: [3, 64], data: far(apart.data.subarray(0, 192)) }, { shape: [40, 64], data: far(apart.data) }];
    const { indices, distances } = await nearestNeighbours(queries, inParts(set, [40]), { k: 4 });
    expect({ indices, distances }).toEqual(bruteForce(queries, set, 4));
  });

  it('compares in any space', async () => {
    const [queries, set] = [draw(1, 3, [4]), draw(2, 50, [4])];
    const first = { features: ({ data, shape }: FloatTensor) => Promise.resolve({ shape: [shape[0]!, 1], data: Float32Array.from({ length: shape[0]! }, (_, i) => data[4 * i]!) }) };
    const { indices } = await nearestNeighbours(queries, inParts(set, [50]), { k: 1, space: first });
    indices.forEach(([nearest], i) => {
      const gaps = Array.from({ length: 50 }, (_, j) => Math.abs(set.data[4 * j]! - queries.data[4 * i]!));
      expect(nearest).toBe(gaps.indexOf(Math.min(...gaps)));
    });
  });

  it('refuses what cannot be compared', async () => {
    const queries = draw(1, 2, [1, 5, 5]);
    await expect(nearestNeighbours(queries, inParts(draw(2, 3, [1, 4, 4]), [3]))).rejects.toThrow('Samples of [1, 4, 4] cannot be compared with those of [1, 5, 5].');
    await expect(nearestNeighbours(queries, inParts(draw(2, 3, [1, 5, 5]), [3]))).rejects.toThrow('8 neighbours were asked for in a set of 3.');
    await expect(nearestNeighbours(queries, inParts(draw(2, 3, [1, 5, 5]), [3]), { k: 0 })).rejects.toThrow('k is 0; allowed: an integer from 1.');
  });
});

describe('neighbourFiles', () => {
  it('writes a table and a picture', async () => {
    const file = join(folder, 'set.npy');
    const [queries, set] = [draw(1, 2, [1, 4, 4]), draw(2, 20, [1, 4, 4])];
    await writeNpy(file, set);
    const source = await openSampleSource([file], [1, 4, 4]);
    const out = [join(folder, 'n.csv'), join(folder, 'n.png')];
    const drawn = (): Promise<typeof queries> => Promise.resolve(queries);
    await neighbourFiles(drawn, source, { k: 3, out, picture: { padding: 1 }, nameOf: (i) => `sample "${i}"` });
    const expected = bruteForce(queries, set, 3);
    const lines = (await readFile(out[0]!, 'utf8')).trim().split('\n');
    expect(lines[0]).toBe('sample,rank,index,name,label,distance');
    expect(lines.slice(1).map((line) => line.split(',').slice(0, 4))).toEqual(expected.indices.flatMap((row, i) => row.map((j, rank) => [`"sample ""${i}"""`, String(rank + 1), String(j), String(j)])));
    lines.slice(1).forEach((line, i) => expect(Number(line.split(',')[5])).toBeCloseTo(expected.distances.flat()[i]!, 7));
    const { data, info } = await sharp(out[1]).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([4 * 5 - 1, 9]);
    expect(data[4 * info.channels]).toBe(255);
    const level = (value: number): number => Math.round(255 * (value + 1) / 2);
    const first = expected.indices[0]![0]!;
    expect(data[5 * info.channels]).toBe(level(set.data[16 * first]!));
    const never = (): Promise<never> => Promise.reject(new Error('not reached'));
    await expect(neighbourFiles(never, source, { out: ['x.jpg'] })).rejects.toThrow('Neighbours cannot be written to x.jpg: the name must end in .png or .csv.');
    await expect(neighbourFiles(never, source, { out: [join(folder, 'x.png')], k: 21 })).rejects.toThrow('21 neighbours were asked for in a set of 20.');
    await expect(neighbourFiles(never, source, { out: [out[1]!], inputs: [out[1]!] })).rejects.toThrow('it is an input, which would be lost');
    await mkdir(join(folder, 'taken.PNG'));
    await expect(neighbourFiles(never, source, { out: [join(folder, 'taken.PNG')] })).rejects.toThrow('it is a folder');
    await source.close();
  });
});
