/** Types and layouts of a converted model's inputs and outputs. */
import { UnsupportedError } from '../errors.js';
import type { DataType, Dim } from '../ir/types.js';

/** Which tensors of the model's interface become channels first, by rank. */
export function imageRule(wanted: 'images' | 'all' | 'none' | undefined, alreadyChannelsFirst: boolean): (rank: number) => boolean {
  if (wanted === 'none' || (wanted === undefined && alreadyChannelsFirst)) return () => false;
  const smallest = wanted === 'all' ? 3 : 4;
  return (rank) => rank >= smallest;
}

/** Extents of an input, the first one symbolic, the others fixed. */
export function inputShape(name: string, shape: readonly (number | null)[], options: { batch?: string; inputShapes?: Readonly<Record<string, readonly number[]>> }): Dim[] {
  const given = options.inputShapes && Object.hasOwn(options.inputShapes, name) ? options.inputShapes[name] : undefined;
  if (given && given.length !== shape.length - 1) throw new UnsupportedError(`Input ${JSON.stringify(name)}: inputShapes has ${given.length} extents, the input has ${shape.length - 1} after the batch axis.`);
  return shape.map((dim, axis): Dim => {
    const known = dim !== null && dim >= 0;
    if (axis === 0) return known ? dim : (options.batch ?? 'N');
    const wanted = given?.[axis - 1];
    if (known && wanted !== undefined && wanted !== dim) throw new UnsupportedError(`Input ${JSON.stringify(name)}: axis ${axis} is ${dim}, inputShapes says ${wanted}.`);
    const extent = known ? dim : wanted;
    if (extent === undefined) throw new UnsupportedError(`Input ${JSON.stringify(name)}: axis ${axis} of [${shape.map((item) => item ?? 'null').join(', ')}] has no fixed extent; give it in \`inputShapes\`.`);
    return extent;
  });
}

/** Element type of an input. */
export function inputType(name: string, dtype: string | undefined): DataType {
  switch (dtype) {
    case undefined: case 'float32': return 'float32';
    // What tfjs takes for bytes, too.
    case 'int32': case 'uint8': return 'int32';
    case 'bool': return 'bool';
    default: throw new UnsupportedError(`Input ${JSON.stringify(name)} is of type ${dtype}, which is not supported.`);
  }
}

/** Names of the outputs; where inputs or other outputs have a name already, it gets a number. */
export function outputNames(wanted: readonly string[], inputs: readonly string[]): string[] {
  const taken = new Set(inputs);
  return wanted.map((name) => {
    let unique = name;
    for (let number = 1; taken.has(unique); number++) unique = `${name}_${number}`;
    taken.add(unique);
    return unique;
  });
}
