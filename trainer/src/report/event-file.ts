/** The event file of a run in its folder `tensorboard/`: `tensorboard --logdir <run>` shows curves and previews. */
import { appendFile, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { TrainingError } from '../errors.js';
import { encodeEvent, openingEvents, stepOfSummary, tagsOfSummary, type RunEvent } from './event.js';
import { decodeRecords, encodeRecord } from './tf-record.js';

export interface EventFile {
  add(event: Omit<RunEvent, 'wallTime'>): void;
  /** Appends what is new to the file. */
  flush(): Promise<void>;
}

const isEventFile = (name: string): boolean => /^events\.out\.tfevents\.\d+\./.test(name);

/**
 * Opens the events of a run; those after iteration `from` belong to a future that a resumed run does not share.
 * @param keeps whether an event of an iteration before stays; by default all do
 */
export async function openEventFile(run: string, from: number, keeps: (step: number, tags: readonly string[]) => boolean = () => true): Promise<EventFile> {
  const folder = join(run, 'tensorboard');
  const earlier = (await readdir(folder).catch(() => [])).filter(isEventFile).sort();
  const kept: Uint8Array[] = [];
  // A process that was killed before it took the earlier file away leaves two: the latest has all that counts.
  if (from > 0 && earlier.length > 0) {
    for (const record of decodeRecords(await readFile(join(folder, earlier.at(-1)!)))) {
      const step = stepOfSummary(record);
      if (step !== null && step <= from && keeps(step, tagsOfSummary(record))) kept.push(record);
    }
  }
  const now = Date.now() / 1000;
  // Readers go from file to file by name: the new one comes after the one that it replaces, whatever the clock says.
  const latest = Math.max(0, ...earlier.map((name) => Number(name.split('.')[3])));
  const path = join(folder, `events.out.tfevents.${Math.max(Math.floor(now), latest + 1)}.ratioflow`);
  await writeFileAtomic(path, Buffer.concat([...openingEvents(now), ...kept].map(encodeRecord)));
  for (const name of earlier) await rm(join(folder, name), { force: true });
  let fresh: Uint8Array[] = [];
  return {
    add(event) {
      fresh.push(encodeRecord(encodeEvent({ ...event, wallTime: Date.now() / 1000 })));
    },
    async flush() {
      if (fresh.length === 0) return;
      const bytes = Buffer.concat(fresh);
      fresh = [];
      await appendFile(path, bytes).catch((cause: unknown) => {
        throw new TrainingError(`${path} cannot be written: ${(cause as Error).message}. Make room and go on with --resume ${run}.`, { cause });
      });
    },
  };
}
