/** The report of a run as one HTML file that needs nothing else: no script, no network, light or dark as the reader's system. */
import { categories, colours, config as pictureConfig } from '../pictures/theme.js';

/** What the report says. */
export interface RunReport {
  readonly title: string;
  /** One sentence on where the run stands. */
  readonly status: string;
  /** The figures that a reader looks for first. */
  readonly figures: readonly { readonly label: string; readonly value: string; readonly note?: string }[];
  /** SVG of our pictures, white background and all. */
  readonly charts: readonly { readonly title: string; readonly svg: string }[];
  readonly previews: readonly { readonly caption: string; readonly width: number; readonly height: number; /** A `data:` URL. */ readonly source: string }[];
  /** Tables of names and values. */
  readonly sections: readonly { readonly title: string; readonly rows: readonly (readonly [string, string])[] }[];
}

/** Colours of our pictures that turn with the reader's scheme, as they are called in the style sheet. */
const turning: Readonly<Record<string, string>> = {
  [pictureConfig.background]: 'card', [colours.ink]: 'ink', [colours.muted]: 'muted', [colours.grid]: 'grid', [pictureConfig.axis.domainColor]: 'axis',
  [categories[0]]: 'blue', [categories[1]]: 'orange', [colours.single]: 'single',
};

const style = `
:root { color-scheme: light dark; --page: #f4f5f7; --card: #ffffff; --ink: #22272e; --muted: #5f6873; --grid: #e6e8eb; --axis: #b6bcc4; --blue: #0072b2; --orange: #d55e00; --single: #4a5058; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1d2125; --ink: #e8eaed; --muted: #a3abb5; --grid: #31373e; --axis: #565e68; --blue: #5db4e8; --orange: #ff8f4a; --single: #c3c9d1; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem clamp(1rem, 4vw, 3rem); background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; }
main { max-width: 72rem; margin: 0 auto; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.2rem 0 .8rem; font-size: 1.15rem; }
p { margin: .3rem 0 1.4rem; color: var(--muted); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .8rem; margin: 0; }
.figures > div, figure, .table { background: var(--card); border: 1px solid var(--grid); border-radius: .5rem; }
.figures > div { padding: .8rem 1rem; } .figures dt, .figures small { color: var(--muted); font-size: .85rem; } .figures dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; } .figures small { display: block; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1rem; align-items: start; }
.previews { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; align-items: start; }
figure { margin: 0; padding: .6rem; } figure svg, figure img { display: block; width: 100%; height: auto; } figcaption { padding: .4rem .3rem 0; color: var(--muted); font-size: .85rem; }
svg text { font-family: 'DejaVu Sans', system-ui, sans-serif; }
.table { overflow-x: auto; } table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { padding: .35rem .9rem; text-align: left; vertical-align: top; border-top: 1px solid var(--grid); overflow-wrap: anywhere; } tr:first-child > * { border-top: 0; }
th { width: 16rem; font-weight: normal; color: var(--muted); } td { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; }
`;

export function htmlReport({ title, status, figures, charts, previews, sections }: RunReport): string {
  const name = escape(title);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${name}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${name}</h1>
<p>${escape(status)}</p>
<dl class="figures">
${figures.map(({ label, value, note }) => `<div><dt>${escape(label)}</dt><dd>${escape(value)}${note === undefined ? '' : `<small>${escape(note)}</small>`}</dd></div>`).join('\n')}
</dl>
${charts.length > 0 ? `<h2>Curves</h2>\n<div class="charts">\n${charts.map(chartOf).join('\n')}\n</div>` : ''}
${previews.length > 0 ? `<h2>Previews</h2>\n<div class="previews">\n${previews.map(({ caption, source, width, height }) => `<figure><img src="${escape(source)}" width="${width}" height="${height}" alt="Samples, ${escape(caption)}"><figcaption>${escape(caption)}</figcaption></figure>`).join('\n')}\n</div>` : ''}
${sections.map((section) => `<h2>${escape(section.title)}</h2>\n<div class="table"><table>\n${section.rows.map(([key, value]) => `<tr><th scope="row">${escape(key)}</th><td>${escape(value)}</td></tr>`).join('\n')}\n</table></div>`).join('\n')}
</main>
</body>
</html>
`;
}

function chartOf({ title, svg }: RunReport['charts'][number]): string {
  const colour = new RegExp(`"(${Object.keys(turning).join('|')})"`, 'g');
  // Several pictures in one document: what one defines, such as a clip path, must not be another's.
  const prefix = title.replace(/\W+/g, '-');
  const own = svg.replace(/\bid="([^"]+)"/g, `id="${prefix}-$1"`).replace(/url\(#([^)]+)\)/g, `url(#${prefix}-$1)`);
  const drawn = own.replace(/^<svg /, `<svg role="img" aria-label="${escape(title)}" `).replace(colour, (_, found: string) => `"var(--${turning[found]!})"`);
  return `<figure>${drawn}<figcaption>${escape(title)}</figcaption></figure>`;
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' };
const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character]!);
