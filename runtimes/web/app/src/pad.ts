/**
 * Where the user draws what the flow is to refine: an image at the sample's own resolution, or places for particles.
 */
import type { FloatTensor, Manifest } from '@ratioflow/sdk';
import { button, canvas, text } from './page.js';

export interface Pad {
  /** Takes the shape of a bundle's samples, and forgets the drawing. @param bound half the side of the plane, for points */
  fit(manifest: Manifest, bound: number): void;
  /** The drawing `count` times, or the places chosen; undefined when nothing has been drawn. */
  x0(count: number): FloatTensor | undefined;
}

/** @param onDrawn called when a stroke is finished, or the pad has been cleared */
export function createPad(onDrawn: () => void): Pad {
  const target = canvas('pad');
  const context = target.getContext('2d', { willReadFrequently: true })!;
  let shape: readonly number[] = [1, 28, 28];
  let range: readonly [number, number] = [-1, 1];
  let bound = 1;
  let places: number[] = [];
  let drawn = false;
  let from: readonly [number, number] | undefined;
  let cursor: readonly [number, number] = [0.5, 0.5];

  const isPoints = (): boolean => shape.length === 1;
  const clear = (): void => {
    [places, drawn] = [[], false];
    context.fillStyle = '#000';
    context.fillRect(0, 0, target.width, target.height);
  };
  /** Marks a place, or draws a line to it; both in shares of the pad. */
  const mark = ([x, y]: readonly [number, number]): void => {
    drawn = true;
    if (isPoints()) {
      // Beyond the pad nobody would see them.
      if (Math.min(x, y) < 0 || Math.max(x, y) > 1) return;
      for (let i = 0; i < 6; i++) {
        const [px, py] = [x + 0.05 * (Math.random() - 0.5), y + 0.05 * (Math.random() - 0.5)];
        places.push(bound * (2 * px - 1), bound * (1 - 2 * py));
        context.fillStyle = '#fff';
        context.fillRect(px * target.width - 1.5, py * target.height - 1.5, 3, 3);
      }
      return;
    }
    const [sx, sy] = from ?? [x, y];
    context.strokeStyle = '#fff';
    context.lineWidth = target.width / 11;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(sx * target.width, sy * target.height);
    context.lineTo(x * target.width + 0.01, y * target.height);
    context.stroke();
  };
  const place = (event: PointerEvent): readonly [number, number] => {
    const { left, top, width, height } = target.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  };

  target.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    target.setPointerCapture(event.pointerId);
    from = place(event);
    mark(from);
  });
  target.addEventListener('pointermove', (event) => {
    if (from === undefined) return;
    const to = place(event);
    mark(to);
    from = to;
  });
  const finish = (): void => {
    if (from === undefined) return;
    from = undefined;
    onDrawn();
  };
  target.addEventListener('pointerup', finish);
  target.addEventListener('pointercancel', finish);
  // With the keyboard: arrows move the pen, with shift they draw; Enter sets a dot.
  target.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Enter: [0, 0] }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const clip = (value: number): number => Math.max(0.05, Math.min(0.95, value));
    const to = [clip(cursor[0] + step[0]! / 14), clip(cursor[1] + step[1]! / 14)] as const;
    if (event.shiftKey || event.key === 'Enter') {
      from = cursor;
      mark(to);
      finish();
    }
    cursor = to;
    text('pen').style.setProperty('--x', `${100 * cursor[0]}%`);
    text('pen').style.setProperty('--y', `${100 * cursor[1]}%`);
  });
  button('clear').addEventListener('click', () => {
    clear();
    onDrawn();
  });

  return {
    fit: (manifest, newBound) => {
      shape = manifest.sampleShape;
      range = manifest.valueRange ?? [-1, 1];
      bound = newBound;
      [target.width, target.height] = isPoints() ? [280, 280] : [shape[2]!, shape[1]!];
      target.style.aspectRatio = `${target.width} / ${target.height}`;
      clear();
    },
    x0: (count) => {
      if (!drawn) return undefined;
      if (isPoints()) return { shape: [places.length / 2, 2], data: Float32Array.from(places) };
      const { data } = context.getImageData(0, 0, target.width, target.height);
      const [channels, pixels] = [shape[0]!, target.width * target.height];
      const [low, high] = range;
      const one = Float32Array.from({ length: channels * pixels }, (_, i) => low + (high - low) * data[4 * (i % pixels) + Math.min(2, Math.floor(i / pixels))]! / 255);
      const all = new Float32Array(count * one.length);
      for (let n = 0; n < count; n++) all.set(one, n * one.length);
      return { shape: [count, ...shape], data: all };
    },
  };
}
