/** Colours of the log-ratio field: teal where samples look like data (log q/p below 0), ember where they do not. */
import { isDark } from './page.js';

type Stops = readonly (readonly [at: number, r: number, g: number, b: number])[];

const dark: Stops = [[-1, 62, 178, 162], [-0.5, 22, 92, 90], [0, 12, 18, 24], [0.5, 46, 26, 22], [1, 104, 50, 32]];
const light: Stops = [[-1, 22, 128, 114], [-0.5, 118, 188, 174], [0, 250, 246, 236], [0.5, 246, 218, 194], [1, 232, 172, 132]];

/** Writes the colour of a value in [−1, 1] at `at` of an RGBA array. */
export function paint(out: Uint8ClampedArray, at: number, value: number): void {
  const stops = isDarkNow ? dark : light;
  const v = Math.max(-1, Math.min(1, value));
  let i = 0;
  while (i < stops.length - 2 && v > stops[i + 1]![0]) i++;
  const [from, to] = [stops[i]!, stops[i + 1]!];
  const t = (v - from[0]) / (to[0] - from[0]);
  for (let c = 0; c < 3; c++) out[at + c] = from[c + 1]! + t * (to[c + 1]! - from[c + 1]!);
  out[at + 3] = 255;
}

let isDarkNow = isDark();
/** Looks up which palette counts; call it before painting. */
export const refreshPalette = (): void => {
  isDarkNow = isDark();
};
