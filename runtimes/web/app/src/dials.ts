/** The dials of the flow: a slider for the hand and a number for the exact value, kept in step. */
import { input, text } from './page.js';
import { limits } from './settings.js';

export type DialName = 'count' | 'K' | 'kappa' | 'eta' | 'nu' | 'scale';

interface Dial {
  /** Element that holds it. */
  readonly home: 'flow' | 'guidance';
  readonly symbol: string;
  readonly says: string;
  readonly whole: boolean;
  /** Largest value that the slider reaches, given the value as trained. */
  readonly most: (trained: number) => number;
}

const dials: Readonly<Record<DialName, Dial>> = {
  count: { home: 'flow', symbol: 'N', says: 'samples', whole: true, most: (trained) => (trained > 100 ? 4096 : 64) },
  K: { home: 'flow', symbol: 'K', says: 'bridging', whole: true, most: (trained) => Math.max(60, 2 * trained) },
  kappa: { home: 'flow', symbol: 'κ', says: 'refining', whole: true, most: (trained) => Math.max(40, 2 * trained) },
  eta: { home: 'flow', symbol: 'η', says: 'step size', whole: false, most: (trained) => 2.5 * trained || 1 },
  nu: { home: 'flow', symbol: 'ν', says: 'noise', whole: false, most: (trained) => Math.max(0.05, 5 * trained) },
  scale: { home: 'guidance', symbol: 'φ', says: 'scale', whole: false, most: (trained) => 5 * trained || 1 },
};
export const dialNames = Object.keys(dials) as DialName[];

export interface Dials {
  /** Sets what is trained and what is shown; undefined shows what is trained. */
  show(trained: Readonly<Record<DialName, number>>, values: Readonly<Partial<Record<DialName, number | undefined>>>): void;
}

/** Makes the dials. @param onChange undefined: as trained */
export function createDials(onChange: (name: DialName, value: number | undefined) => void): Dials {
  let trained: Readonly<Record<DialName, number>> = { count: 16, K: 0, kappa: 0, eta: 0, nu: 0, scale: 0 };
  const shown: Record<string, (value: number) => void> = {};
  for (const name of dialNames) {
    const { home, symbol, says, whole } = dials[name];
    const row = document.createElement('div');
    row.className = 'dial';
    row.innerHTML = `<label for="${name}"><b></b><span></span></label><input id="${name}-slider" type="range" step="any"><input id="${name}" type="number" min="${name === 'count' ? 1 : 0}" max="${limits[name]}" step="${whole ? 1 : 'any'}">`;
    row.querySelector('b')!.textContent = symbol;
    row.querySelector('span')!.textContent = says;
    text(home).append(row);
    const [slider, exact] = [input(`${name}-slider`), input(name)];
    slider.setAttribute('aria-label', `${says} ${symbol}`);
    slider.min = name === 'count' ? '1' : '0';
    const show = (value: number): void => {
      slider.value = String(value);
      slider.style.setProperty('--at', `${100 * (Number(slider.value) - Number(slider.min)) / (Number(slider.max) - Number(slider.min) || 1)}%`);
    };
    shown[name] = (value) => {
      slider.max = String(dials[name].most(trained[name]));
      slider.step = whole ? '1' : String(Number(slider.max) / 250);
      exact.value = String(value);
      show(value);
    };
    const changed = (value: number): void => onChange(name, value === trained[name] ? undefined : value);
    slider.addEventListener('input', () => {
      const value = Number(Number(slider.value).toPrecision(4));
      exact.value = String(value);
      show(value);
      changed(value);
    });
    exact.addEventListener('change', () => {
      if (exact.value === '') exact.value = String(trained[name]);
      if (!exact.reportValidity()) return;
      show(Number(exact.value));
      changed(Number(exact.value));
    });
  }
  return {
    show: (newTrained, values) => {
      trained = newTrained;
      for (const name of dialNames) shown[name]!(values[name] ?? trained[name]);
    },
  };
}
