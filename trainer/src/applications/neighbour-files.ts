/** Neighbours of samples as a table and as a picture. */
import { checkOutputFile, savePng, writeFileAtomic, type PictureOptions } from '@ratioflow/node';
import { ArgumentError, type FloatTensor } from '@ratioflow/sdk';
import { nearestNeighbours, type NeighbourOptions, type Neighbours } from './neighbours.js';
import { partsOf, type SampleSource } from '../data/sample-source.js';

export interface NeighbourFilesOptions extends NeighbourOptions {
  /** `.png`: a row for every sample, a rule, its neighbours; `.csv`: a line for every neighbour. */
  readonly out: readonly string[];
  /** Files that the samples come from, none of which an output may be. */
  readonly inputs?: readonly string[];
  readonly picture?: Omit<PictureOptions, 'valueRange'>;
  /** Names of the samples in the table. @default their numbers */
  readonly nameOf?: (index: number) => string;
}

const isTable = (path: string): boolean => /\.csv$/i.test(path);

/**
 * Searches and writes.
 * @param make the samples, called when all that can be known before it is right
 * @throws {ArgumentError} for an output that cannot be written, or of another kind, or a set of fewer images than neighbours
 */
export async function neighbourFiles(make: () => Promise<FloatTensor>, set: SampleSource, { out, inputs = [], picture, nameOf = String, ...options }: NeighbourFilesOptions): Promise<Neighbours> {
  const shape = set.sampleShape;
  for (const path of out) {
    await checkOutputFile(path, 'Neighbours', ['.png', '.csv'], [...inputs, ...set.files]);
    if (!isTable(path) && ![1, 3].includes(shape.length === 3 ? shape[0]! : 0)) throw new ArgumentError(`Samples of [${shape.join(', ')}] are no images: the output ${path} must end in .csv.`);
  }
  if (options.k !== undefined && options.k > set.size) throw new ArgumentError(`${options.k} neighbours were asked for in a set of ${set.size}.`);
  const queries = await make();
  const [count] = queries.shape as [number];
  const found = await nearestNeighbours(queries, partsOf(set, 1024), options);
  for (const path of out) {
    if (isTable(path)) {
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
