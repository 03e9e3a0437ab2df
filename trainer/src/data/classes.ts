/** The classes of a labelled set: their names, and which output of a classifier a label stands for. */
import { ConfigError } from '../errors.js';
import type { Dataset } from './dataset.js';

export interface Classes {
  /** In the order of a classifier's outputs. */
  readonly names: readonly string[];
  /** Outputs of the labels of a set. @throws {ConfigError} for a label that is none of the classes */
  readonly indicesOf: (labels: Uint8Array, what: string) => Uint8Array;
}

/**
 * Classes of a set: the labels that occur, ascending; or, with names given, the labels 0 … names − 1, each of which must occur.
 * @throws {ConfigError} for a set without labels, a label out of range, a class without an image, fewer than two classes
 */
export function classesOf({ name, labels, classNames }: Pick<Dataset, 'name' | 'labels' | 'classNames'>, given?: readonly string[]): Classes {
  if (labels === null) throw new ConfigError(`data: ${name} has no labels. Put the images of each class into a subfolder of their own, or give data.labels with a .npy file.`);
  const present = [...new Set(labels)].sort((a, b) => a - b);
  if (given) {
    const beyond = present.find((label) => label >= given.length);
    if (beyond !== undefined) throw new ConfigError(`data: sample ${labels.indexOf(beyond)} of ${name} has the label ${beyond}, out of the range of classNames, which names the classes 0 to ${given.length - 1}. Correct the label, or name more classes.`);
    const empty = given.findIndex((_, label) => !present.includes(label));
    if (empty >= 0) throw new ConfigError(`data: ${name} has no sample of class ${empty} (${given[empty]!}), which classNames names. Add samples of it, or leave the class out.`);
  }
  return {
    names: present.map((label) => given?.[label] ?? classNames?.[label] ?? String(label)),
    indicesOf(of, what) {
      const unknown = of.findIndex((label) => !present.includes(label));
      if (unknown >= 0) throw new ConfigError(`${what}: sample ${unknown} has the label ${of[unknown]!}, of which ${name} has no samples; its labels are ${present.join(', ')}. Leave such samples out (${what}.classes), or train on them too.`);
      return of.map((label) => present.indexOf(label));
    },
  };
}
