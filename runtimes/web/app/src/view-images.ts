/** Images in a grid, each as many screen pixels large as fit. */
import type { Frame } from '@ratioflow/sdk';
import { colour, fit } from './page.js';

/** Columns that make `count` squares large in a rectangle and leave few places empty. */
export function columnsFor(count: number, width: number, height: number): number {
  let [best, most] = [1, 0];
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const worth = Math.min(width / columns, height / rows) * (count / (columns * rows)) ** 2;
    if (worth > most) [best, most] = [columns, worth];
  }
  return best;
}

/** Writes image `n` of a batch [N, C, H, W] as RGBA: grey for one channel, colours for three, the range given as black to white. */
export function writeImage(out: Uint8ClampedArray, x: Float32Array, n: number, shape: readonly number[], [low, high]: readonly [number, number]): void {
  const [channels, height, width] = shape as [number, number, number];
  const pixels = height * width;
  const base = n * channels * pixels;
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = 255 * (x[base + (channels >= 3 ? c : 0) * pixels + i]! - low) / (high - low);
    out[4 * i + 3] = 255;
  }
}

export function createImagesView(target: HTMLCanvasElement, shape: readonly number[], range: readonly [number, number]): (frames: readonly Frame[], place: number) => void {
  const [, rows, columns] = shape as [number, number, number];
  const tile = document.createElement('canvas');
  Object.assign(tile, { width: columns, height: rows });
  const pen = tile.getContext('2d')!;
  const image = pen.createImageData(columns, rows);
  return (frames, place) => {
    const { context, width, height } = fit(target);
    context.clearRect(0, 0, width, height);
    const frame = frames[Math.round(place)];
    if (frame === undefined) return;
    const count = frame.x.shape[0]!;
    const margin = Math.min(22, width / 24);
    const across = columnsFor(count, width - 2 * margin, height - 2 * margin);
    const down = Math.ceil(count / across);
    const gap = Math.max(2, Math.min(10, width / across / 14));
    const size = Math.floor(Math.min((width - 2 * margin + gap) / across, (height - 2 * margin + gap) / down) - gap);
    const [left, top] = [(width - across * (size + gap) + gap) / 2, (height - down * (size + gap) + gap) / 2];
    context.imageSmoothingEnabled = false;
    context.strokeStyle = colour('line');
    for (let n = 0; n < count; n++) {
      writeImage(image.data, frame.x.data, n, shape, range);
      pen.putImageData(image, 0, 0);
      const [x, y] = [Math.round(left + (n % across) * (size + gap)), Math.round(top + Math.floor(n / across) * (size + gap))];
      context.save();
      context.beginPath();
      context.roundRect(x, y, size, size, Math.min(6, size / 10));
      context.clip();
      context.drawImage(tile, x, y, size, size);
      context.restore();
      context.beginPath();
      context.roundRect(x + 0.5, y + 0.5, size - 1, size - 1, Math.min(6, size / 10));
      context.stroke();
    }
  };
}
