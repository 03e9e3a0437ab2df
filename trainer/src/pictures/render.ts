/**
 * Plot specification → SVG → PNG, the same on every machine: vega-lite and vega draw the SVG, resvg turns it into pixels
 * with the fonts of a package, never the system's. All of them are loaded on the first picture only.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { TopLevelSpec } from 'vega-lite';
import { config, fontFamily } from './theme.js';

/** A picture in both forms. */
export interface Picture {
  readonly svg: string;
  readonly png: Uint8Array;
}

/** A vega-lite specification. Not vega-lite's own type, whose unions cost the compiler seconds. */
export type Specification = Readonly<Record<string, unknown>>;

/** Options of every picture. */
export interface PictureOptions {
  readonly title?: string;
  readonly subtitle?: string;
  /** Pixels of the PNG per unit of the SVG. @default 2 */
  readonly scale?: number;
}

/** The title of a picture, for a specification. */
export function titleOf({ title, subtitle }: PictureOptions): Specification {
  if (title !== undefined) return { title: { text: title, ...(subtitle === undefined ? {} : { subtitle }) } };
  // vega draws no subtitle without a title: a lone one becomes the title, dressed as a subtitle.
  const { subtitleFontSize: fontSize, subtitleColor: color } = config.title;
  return subtitle === undefined ? {} : { title: { text: subtitle, fontSize, color, fontWeight: 'normal' } };
}

/** Draws a specification in the house style. */
export async function render(specification: Specification, scale = 2): Promise<Picture> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const full = { $schema: 'https://vega.github.io/schema/vega-lite/v6.json', config, ...specification };
  const { spec } = vegaLite.compile(full as unknown as TopLevelSpec);
  const view = new vega.View(vega.parse(spec), { renderer: 'none', logLevel: vega.Error });
  try {
    const svg = await view.toSVG();
    return { svg, png: await rasterise(svg, scale) };
  } finally {
    view.finalize();
  }
}

/** Pixels of an SVG whose only fonts are ours. */
async function rasterise(svg: string, scale: number): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  const folder = join(dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json')), 'ttf');
  const fontFiles = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf', 'DejaVuSans-Oblique.ttf'].map((name) => join(folder, name));
  const image = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: { fontFiles, loadSystemFonts: false, defaultFontFamily: fontFamily },
  });
  return image.render().asPng();
}
