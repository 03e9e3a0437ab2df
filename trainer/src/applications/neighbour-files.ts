/** Neighbours of samples as a table and as a picture. */
import { savePng, writeFileAtomic, type PictureOptions } from '@ratioflow/node';
import { ArgumentError, type FloatTensor } from '@ratioflow/sdk';
import { nearestNeighbours, type NeighbourOptions, type Neighbours } from './neighbours.js';
import { partsOf, type SampleSource } from '../data/sample-source.js';

export interface NeighbourFilesOptions extends NeighbourOptions {
  /** `.png`: a row for every sample, a rule, its neighbours; `.csv`: a line for every neighbour. */
  readonly out: readonly string[];
  readonly picture?: Omit<PictureOptions, 'valueRange'>;
  /** Names of the samples in the table. @default their numbers */
  readonly nameOf?: (index: number) => string;
}

/** Searches and writes. @throws {ArgumentError} before the search, for an output of another kind */
export async function neighbourFiles(queries: FloatTensor, set: SampleSource, { out, picture, nameOf = String, ...options }: NeighbourFilesOptions): Promise<Neighbours> {
  const [count, ...shape] = queries.shape as [number, ...number[]];
  for (const path of out) {
    if (!/\.(png|csv)$/.test(path)) throw new ArgumentError(`The output ${path} must end in .png or .csv.`);
    if (path.endsWith('.png') && ![1, 3].includes(shape.length === 3 ? shape[0]! : 0)) throw new ArgumentError(`Samples of [${shape.join(', ')}] are no images: the output ${path} must end in .csv.`);
  }
  const found = await nearestNeighbours(queries, partsOf(set, 1024), options);
  for (const path of out) {
    if (path.endsWith('.csv')) {
      const lines = found.indices.flatMap((row, i) => row.map((index, rank) => [cell(nameOf(i)), rank + 1, index, cell(set.nameOf(index)), set.labels?.[index] ?? '', found.distances[i]![rank]!.toPrecision(9)].join(',')));
      await writeFileAtomic(path, `${['sample,rank,index,name,label,distance', ...lines].join('\n')}\n`);
    } else {
      const [columns, length] = [1 + found.indices[0]!.length, queries.data.length / count];
      const data = new Float32Array(count * columns * length);
      for (let i = 0; i < count; i++) {
        data.set(queries.data.subarray(i * length, (i + 1) * length), i * columns * length);
        for (const [rank, index] of found.indices[i]!.entries()) data.set((await set.read(index, 1)).data, (i * columns + 1 + rank) * length);
      }
      await savePng(path, { shape: [count * columns, ...shape], data }, { ...picture, ...(options.valueRange && { valueRange: options.valueRange }), columns, rules: [1] });
    }
  }
  return found;
}

/** A field of a table: in quotes where it needs them (RFC 4180). */
export const cell = (text: string): string => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
