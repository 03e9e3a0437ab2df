/** Particles on the log-ratio field. */
import type { Frame } from '@ratioflow/sdk';
import { cells, contour, fieldPicture } from './field.js';
import type { Field } from './field.js';
import { colour, fit, isDark } from './page.js';

/** Frames behind a particle that its trail shows. */
const trailLength = 10;

/** Draws the particles at a place between two frames, with the way they came, over the field. */
export function createPointsView(target: HTMLCanvasElement, field: Field): (frames: readonly Frame[], place: number) => void {
  const levels = [-0.8, -0.4, 0, 0.2, 0.4, 0.6, 0.8, 1.1].map((share) => contour(field, share * (share < 0 ? field.low : field.high)));
  const pictures = new Map<boolean, HTMLCanvasElement>();
  return (frames, place) => {
    const { context, width, height } = fit(target);
    const dark = isDark();
    if (!pictures.has(dark)) pictures.set(dark, fieldPicture(field));
    // The samples fit the shorter side; the field goes on beyond them to fill the longer one.
    const extent = Math.max(Math.min(width, height) * field.half / field.bound, width, height);
    const [left, top] = [(width - extent) / 2, (height - extent) / 2];
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = 'high';
    context.drawImage(pictures.get(dark)!, left, top, extent, extent);
    context.save();
    context.translate(left, top);
    context.scale(extent / cells, extent / cells);
    context.lineWidth = 0.7 * cells / extent;
    for (const [i, level] of levels.entries()) {
      context.strokeStyle = colour('ink');
      context.globalAlpha = i === 2 ? 0.4 : 0.12;
      context.stroke(level);
    }
    context.restore();

    const toX = (x: number): number => left + (x / field.half + 1) / 2 * extent;
    const toY = (y: number): number => top + (1 - y / field.half) / 2 * extent;
    const at = Math.floor(place);
    const now = frames[at]?.x.data;
    if (now === undefined) return;
    const next = frames[at + 1]?.x.data ?? now;
    const t = place - at;
    const ink = colour('ink');
    context.strokeStyle = ink;
    context.lineWidth = 1;
    for (let back = Math.min(trailLength, at); back >= 0; back--) {
      const from = frames[at - back]!.x.data;
      const to = back === 0 ? undefined : frames[at - back + 1]!.x.data;
      context.globalAlpha = 0.34 * (1 - back / (trailLength + 1));
      context.beginPath();
      for (let i = 0; i < now.length; i += 2) {
        context.moveTo(toX(from[i]!), toY(from[i + 1]!));
        if (to === undefined) context.lineTo(toX(from[i]! + t * (next[i]! - from[i]!)), toY(from[i + 1]! + t * (next[i + 1]! - from[i + 1]!)));
        else context.lineTo(toX(to[i]!), toY(to[i + 1]!));
      }
      context.stroke();
    }
    context.globalAlpha = 1;
    context.fillStyle = ink;
    const radius = now.length > 3000 ? 1.3 : now.length > 800 ? 1.7 : 2.4;
    context.beginPath();
    for (let i = 0; i < now.length; i += 2) {
      const [x, y] = [toX(now[i]! + t * (next[i]! - now[i]!)), toY(now[i + 1]! + t * (next[i + 1]! - now[i + 1]!))];
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 2 * Math.PI);
    }
    context.fill();
  };
}
