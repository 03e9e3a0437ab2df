/** Elements of the page by their id, and the few helpers that every module needs. */

/** The element with this id, of the type expected. */
export function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page lacks #${id}.`);
  return found;
}

export const button = (id: string): HTMLButtonElement => element(id, HTMLButtonElement);
export const canvas = (id: string): HTMLCanvasElement => element(id, HTMLCanvasElement);
export const input = (id: string): HTMLInputElement => element(id, HTMLInputElement);
export const text = (id: string): HTMLElement => element(id, HTMLElement);

/** A colour of the style sheet, as it is now. */
export function colour(name: string): string {
  const probe = document.createElement('i');
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

export const isDark = (): boolean => matchMedia('(prefers-color-scheme: dark)').matches;

/** Makes the canvas as sharp as the screen. Returns its context, in CSS pixels, and its size in them. */
export function fit(target: HTMLCanvasElement): { context: CanvasRenderingContext2D; width: number; height: number } {
  const { width, height } = target.getBoundingClientRect();
  const ratio = devicePixelRatio;
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (target.width !== w || target.height !== h) Object.assign(target, { width: w, height: h });
  const context = target.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

/** Wipes a canvas. */
export const clear = (target: HTMLCanvasElement): void => target.getContext('2d')!.clearRect(0, 0, target.width, target.height);

/** What a thrown value says. */
export const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** A number for a readout: three digits that matter. */
export function show(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  const text = size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
  // What is rounded to 0 has no sign.
  return text.replace('-', Number(text) === 0 ? '' : '−');
}
