/** What a run's data are, without their samples, kept in its folder: so much an export needs, also where the data are gone. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { ArgumentError } from '@ratioflow/sdk';
import { classesOf } from '../data/classes.js';
import type { Dataset, ImageDataset } from '../data/dataset.js';

const dataFile = 'data.json';

interface DataFacts extends Pick<Dataset, 'name' | 'sampleShape' | 'size' | 'valueRange'> {
  /** In the order of their labels; null for a set without labels. */
  readonly classNames: readonly string[] | null;
}

export async function writeData(out: string, dataset: Dataset): Promise<void> {
  const { name, sampleShape, size, valueRange } = dataset;
  const facts: DataFacts = { name, sampleShape, size, valueRange, classNames: dataset.labels && classesOf(dataset).names };
  await writeFileAtomic(join(out, dataFile), `${JSON.stringify(facts, null, 2)}\n`);
}

/** The set of a run with one label of each class, from which nothing can be drawn; undefined where the run does not tell. */
export async function readData(out: string): Promise<Dataset | undefined> {
  const path = join(out, dataFile);
  const text = await readFile(path, 'utf8').catch(() => null);
  const facts = text === null ? null : parsed(text);
  if (!facts) return undefined;
  const { classNames, ...others } = facts;
  const refuse = (): Promise<never> => Promise.reject(new ArgumentError(`${path} tells what the data ${facts.name} are, but has no samples of them.`));
  const set: Dataset = { ...others, labels: classNames && Uint8Array.from(classNames.keys()), ...(classNames && { classNames }), batch: refuse };
  return facts.sampleShape.length === 3 && facts.size !== null ? { ...set, readBytes: refuse } as ImageDataset : set;
}

/** It is only a note: one that is damaged is made anew from the data. */
function parsed(text: string): DataFacts | null {
  try {
    return JSON.parse(text) as DataFacts;
  } catch {
    return null;
  }
}
