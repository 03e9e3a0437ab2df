/** The class picker of a guided bundle: one class for all samples, every class in turn, or none. */
import type { FlowOptions, Manifest } from '@ratioflow/sdk';
import { element, text } from './page.js';
import type { ClassChoice } from './settings.js';

/** Samples over which every class of a bundle is shown as often, where that is not many; undefined for bundles without. */
export const samplesPerClasses = ({ guidance }: Manifest): number | undefined =>
  (guidance !== undefined && guidance.classes <= 12 ? 2 * guidance.classes : undefined);

/** What `flow` is told of classes: nothing for a bundle without a classifier, or a class that it does not have. */
export function classOptions({ guidance }: Manifest, choice: ClassChoice, scale: number, count: number): Pick<FlowOptions, 'class' | 'scale'> {
  if (guidance === undefined || choice === 'none') return {};
  if (choice === 'each') return { scale, class: Array.from({ length: count }, (_, i) => i % guidance.classes) };
  return choice < guidance.classes ? { scale, class: choice } : {};
}

export interface ClassPicker {
  /** Offers the classes of a bundle; without any, nothing is to be seen. */
  fit(manifest: Manifest): void;
  show(choice: ClassChoice): void;
}

export function createClassPicker(onChange: (choice: ClassChoice) => void): ClassPicker {
  const select = element('class', HTMLSelectElement);
  select.addEventListener('change', () => onChange(select.value === 'each' || select.value === 'none' ? select.value : Number(select.value)));
  return {
    fit: ({ guidance, classNames }) => {
      text('guidance').hidden = guidance === undefined;
      const classes = Array.from({ length: guidance?.classes ?? 0 }, (_, i) => new Option(classNames?.[i] ?? String(i), String(i)));
      select.replaceChildren(new Option('each in turn', 'each'), new Option('none', 'none'), ...classes);
    },
    show: (choice) => {
      // A class that this bundle lacks guides nothing.
      select.value = String(choice);
      if (select.selectedIndex < 0) select.value = 'none';
    },
  };
}
