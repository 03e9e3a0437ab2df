/** What is checked of a file that is to be written, before the work whose result it holds. */
import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ArgumentError } from '@ratioflow/sdk';

/**
 * @param what it holds, for messages
 * @param endings one of which it must have, so that no file of another kind is replaced by mistake
 * @param inputs files that the work reads; other texts among them do no harm
 * @throws {ArgumentError} for another ending, a folder, a place where no file can be, or one of the inputs
 */
export async function checkOutputFile(path: string, what: string, endings: readonly string[], inputs: readonly (string | undefined)[]): Promise<void> {
  if (!endings.some((ending) => path.toLowerCase().endsWith(ending))) throw new ArgumentError(`${what} cannot be written to ${path}: the name must end in ${endings.join(' or ')}.`);
  const found = await stat(path).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ArgumentError(`${what} cannot be written to ${path}: ${(cause as Error).message}. Name another place.`, { cause });
  });
  if (found?.isDirectory()) throw new ArgumentError(`${what} cannot be written to ${path}: it is a folder. Name a file in it.`);
  await refuseInputs([path], what, inputs);
}

/**
 * Keeps work from replacing what it was made of.
 * @param paths files that are to be written
 * @param what they hold, for messages
 * @param inputs files that the work reads; other texts among them do no harm
 * @throws {ArgumentError} for the first of them that is one of the inputs
 */
export async function refuseInputs(paths: readonly string[], what: string, inputs: readonly (string | undefined)[]): Promise<void> {
  const real = (name: string): Promise<string> => realpath(name).catch(() => resolve(name));
  const read = new Set(await Promise.all(inputs.filter((input) => input !== undefined).map(real)));
  for (const path of paths) if (read.has(await real(path))) throw new ArgumentError(`${what} cannot be written to ${path}: it is an input, which would be lost. Name another place.`);
}
