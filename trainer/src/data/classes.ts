/** The classes of a labelled set: their names, and which output of a classifier a label stands for. */
import { ConfigError } from '../errors.js';
import type { Dataset } from './dataset.js';

type LabelledSet = Pick<Dataset, 'name' | 'labels' | 'classNames'>;

export interface Classes {
  /** In the order of a classifier's outputs. */
  readonly names: readonly string[];
  /**
   * Outputs of the labels of a set: by the names of its classes where both sets have names, else by the labels themselves.
   * @throws {ConfigError} for a set without labels, or with a class that is none of these
   */
  readonly indicesOf: (set: LabelledSet, what: 'data' | 'test') => Uint8Array;
}

/**
 * Classes of a set: the labels that occur, ascending. Names that are given order the set's own where they are the same names; else
 * they name the labels 0 … names − 1, each of which must occur.
 * @throws {ConfigError} for a set without labels, a label out of range, a class without an image, names of which only some are the set's own
 */
export function classesOf(set: LabelledSet, given?: readonly string[]): Classes {
  const { name, classNames } = set;
  const labels = labelsOf(set, 'data');
  const present = [...new Set(labels)].sort((a, b) => a - b);
  const own = classNames && present.map((label) => classNames[label]!);
  const shared = given?.filter((one) => own?.includes(one)) ?? [];
  if (given && own && shared.length > 0) {
    if (given.length !== own.length || !own.every((one) => given.includes(one))) {
      throw new ConfigError(`classNames = ${given.join(', ')}, but the classes of ${name} are ${own.join(', ')}. Give these names in any order, or other names for all of them, or leave classNames out.`);
    }
  } else if (given) {
    const beyond = present.find((label) => label >= given.length);
    if (beyond !== undefined) throw new ConfigError(`data: sample ${labels.indexOf(beyond)} of ${name} has the label ${beyond}, out of the range of classNames, which names the classes 0 to ${given.length - 1}. Correct the label, or name more classes.`);
    const empty = given.findIndex((_, label) => !present.includes(label));
    if (empty >= 0) throw new ConfigError(`data: ${name} has no sample of class ${empty} (${given[empty]!}), which classNames names. Add samples of it, or leave the class out.`);
  }
  /** The labels in the order of the outputs. */
  const ordered = shared.length > 0 ? given!.map((one) => present[own!.indexOf(one)]!) : present;
  return {
    names: given ?? own ?? present.map(String),
    indicesOf(other, what) {
      const found = labelsOf(other, what);
      const byName = classNames && other.classNames;
      return found.map((label, sample) => {
        const output = byName ? ordered.findIndex((one) => classNames[one] === other.classNames![label]) : ordered.indexOf(label);
        if (output >= 0) return output;
        const [unknown, known] = byName ? [`is of the class ${other.classNames[label]!}`, `classes are ${own!.join(', ')}`] : [`has the label ${label}`, `labels are ${present.join(', ')}`];
        throw new ConfigError(`${what}: sample ${sample} ${unknown}, of which ${name} has no samples; its ${known}. Leave such samples out${byName ? '' : ` (${what}.classes)`}, or train on them too.`);
      });
    },
  };
}

function labelsOf({ name, labels }: LabelledSet, what: 'data' | 'test'): Uint8Array {
  if (labels === null) throw new ConfigError(`${what}: ${name} has no labels. Put the images of each class into a subfolder of their own, 2 to 256 of them, or give ${what}.labels with a .npy file.`);
  return labels;
}
