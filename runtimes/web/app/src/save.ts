/** Saves what the screen shows. */
import { canvas, text } from './page.js';

/** Saves the screen as a PNG of the device's pixels. @param stem name without extension @param onSaved with the file's name */
export function savePng(stem: string, onSaved: (name: string) => void): void {
  const name = `${stem.replaceAll(/[^A-Za-z0-9._-]+/g, '-')}.png`;
  const source = canvas('view');
  // The screen shows the page's colour where the picture has none.
  const copy = Object.assign(document.createElement('canvas'), { width: source.width, height: source.height });
  const context = copy.getContext('2d')!;
  context.fillStyle = getComputedStyle(text('screen')).backgroundColor;
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(source, 0, 0);
  copy.toBlob((blob) => {
    if (blob === null) return;
    const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    onSaved(name);
  });
}
