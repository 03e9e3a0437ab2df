/**
 * How every picture looks: colours that colour-blind readers can tell apart (Okabe and Ito's set, and a green–white–purple
 * scale for signed values, on which the orange and black dots stay visible), fonts, and the shared part of the plot specifications.
 */

/** Colours by role. */
export const colours = {
  ink: '#22272e',
  muted: '#6b7480',
  grid: '#e6e8eb',
  /** Samples from the data distribution p. */
  data: '#9aa3ad',
  /** Samples of the model, particles. */
  samples: '#d55e00',
  /** Single lines and bars. */
  line: '#0072b2',
  /** A line that is compared with none. */
  single: '#4a5058',
  /** A path among particles. */
  path: '#1b1f24',
} as const;

/** Lines and groups, in this order. */
export const categories = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9'] as const;

/** Anchors of the scale for log ratios, from negative (green) through 0 (white) to positive (purple). */
export const diverging = ['#2e8b57', '#6bb883', '#b3dfbb', '#f7f7f7', '#d3bfe0', '#a886c0', '#7b4b9d'] as const;

/** Family of the embedded fonts (package dejavu-fonts-ttf). */
export const fontFamily = 'DejaVu Sans';

/** vega-lite configuration of every picture. */
export const config = {
  background: 'white',
  font: fontFamily,
  padding: 16,
  view: { stroke: null },
  // No accessible label on each of thousands of dots: it would triple the SVG.
  point: { aria: false },
  rule: { aria: false },
  title: { fontSize: 15, fontWeight: 'bold', color: colours.ink, anchor: 'start', offset: 12, subtitleFontSize: 12, subtitleColor: colours.muted },
  axis: {
    labelFontSize: 11,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 8,
    labelColor: colours.muted,
    titleColor: colours.ink,
    gridColor: colours.grid,
    domainColor: '#b6bcc4',
    tickColor: '#b6bcc4',
    tickSize: 4,
    labelFlush: false,
  },
  legend: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: 'normal', labelColor: colours.ink, titleColor: colours.ink, symbolStrokeWidth: 2.5, symbolOpacity: 1 },
  header: { labelFontSize: 12, titleFontSize: 12 },
} as const;

/** Red, green, blue of a `#rrggbb` colour. */
function channels(colour: string): [number, number, number] {
  const value = Number.parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The diverging colour of a value in [−1, 1] (clamped; NaN is mid grey), as the plots' legend interpolates it. */
export function divergingColour(value: number): [number, number, number] {
  if (Number.isNaN(value)) return [128, 128, 128];
  const position = ((Math.min(1, Math.max(-1, value)) + 1) / 2) * (diverging.length - 1);
  const index = Math.min(Math.floor(position), diverging.length - 2);
  const [from, to] = [channels(diverging[index]!), channels(diverging[index + 1]!)];
  return [0, 1, 2].map((c) => Math.round(from[c]! + (position - index) * (to[c]! - from[c]!))) as [number, number, number];
}
