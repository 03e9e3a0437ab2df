import { ArgumentError } from '@ratioflow/sdk';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { arrowsOf } from './arrows.js';
import { colourLimit, heatMap, interpolate } from './heat-map.js';
import { binsOf, histogram } from './histogram.js';
import { lineChart } from './line-chart.js';
import { fieldPlot, particlePanels, scatterPlot } from './plane-plots.js';
import { frame, rowsOf, squareAround } from './points.js';
import type { Picture } from './render.js';
import { movingAverage, thin } from './series.js';
import { divergingColour } from './theme.js';
import { trainingPanels } from './training-curve.js';

const ramp = Float64Array.from({ length: 200 }, (_, i) => i);
const cloud = Float32Array.from({ length: 400 }, (_, i) => Math.sin(37 * i));
const grid = { values: Float32Array.of(-2, 0, 0, 2), columns: 2, rows: 2 };
const extent = { x: [-1, 1], y: [-1, 1] } as const;

/** Pixels of a PNG, by another library. */
async function pixelsOf(png: Uint8Array): Promise<{ width: number; height: number; at: (x: number, y: number) => number[] }> {
  const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, at: (x, y) => [...data.subarray(3 * (y * info.width + x), 3 * (y * info.width + x) + 3)] };
}

/** Number of pixels of a PNG that are nearly of a colour. */
async function countColour({ png }: Picture, [r, g, b]: [number, number, number]): Promise<number> {
  const { width, height, at } = await pixelsOf(png);
  let count = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [pr, pg, pb] = at(x, y) as [number, number, number];
      if (Math.abs(pr - r) + Math.abs(pg - g) + Math.abs(pb - b) < 12) count++;
    }
  }
  return count;
}
const orange: [number, number, number] = [0xd5, 0x5e, 0x00];

describe('series', () => {
  it('averages over a centred window, and leaves gaps as they are', () => {
    expect([...movingAverage([0, 3, 6, NaN, 10], 3)]).toEqual([1.5, 3, 4.5, NaN, 10]);
    expect([...movingAverage([1, 5, 2], 1)]).toEqual([1, 5, 2]);
  });

  it('thins without losing a peak or a gap', () => {
    const y = new Float64Array(10_000);
    y[5432] = 9;
    y[77] = -4;
    y[8000] = Infinity;
    const points = thin(Float64Array.from(y, (_, i) => i), y, 500);
    expect(points.length).toBeLessThan(520);
    expect(points).toContainEqual({ x: 5432, y: 9 });
    expect(points).toContainEqual({ x: 77, y: -4 });
    expect(points).toContainEqual({ x: 8000, y: null });
    expect(points.every(({ x }, i) => i === 0 || x > points[i - 1]!.x)).toBe(true);
  });
});

describe('planes', () => {
  it('fits a square around all finite points', () => {
    const { x, y } = squareAround(Float32Array.of(0, 0, 4, 1), Float32Array.of(NaN, 9, 2, -1));
    // The lone finite coordinate 9 counts: x spans 4 and y 10, so the side is 11, centred on (2, 4).
    expect([...x, ...y].map((v) => Math.round(v * 1e6) / 1e6)).toEqual([-3.5, 7.5, -1.5, 9.5]);
    expect(squareAround()).toEqual({ x: [-1, 1], y: [-1, 1] });
  });

  it('keeps the aspect of the extent', () => {
    expect(frame({ x: [0, 4], y: [0, 1] }, 400)).toEqual({ width: 400, height: 100 });
    expect(() => frame({ x: [1, 1], y: [0, 1] }, 400)).toThrow(/Extent x \[1, 1\]/);
  });

  it('takes the first points and leaves out those without a place', () => {
    expect(rowsOf(Float32Array.of(1, 2, NaN, 0, 3, 4, 5, 6), 2)).toEqual([{ x: 1, y: 2 }, { x: 3, y: 4 }]);
    expect(() => rowsOf(Float32Array.of(1, 2, 3))).toThrow(ArgumentError);
  });

  it('points arrows along their vectors, longest nearly one spacing long', () => {
    const positions = Float32Array.of(-0.5, -0.5, 0.5, -0.5, -0.5, 0.5, 0.5, 0.5);
    const arrows = arrowsOf({ positions, vectors: Float32Array.of(4, 0, 0, 1, 0, 0, NaN, 1) }, extent);
    expect(arrows).toHaveLength(2);
    // Four arrows in 2 × 2: spacing 1. Lengths 0.9 and 0.9 · √(1/4).
    expect(arrows[0]).toMatchObject({ x: -0.95, y: -0.5, angle: 90 });
    expect(arrows[0]!.x2).toBeCloseTo(-0.05, 12);
    expect(arrows[1]!.y2 - arrows[1]!.y).toBeCloseTo(0.45, 12);
    expect(arrows[1]!.angle).toBe(0);
    expect(() => arrowsOf({ positions, vectors: new Float32Array(6) }, extent)).toThrow(/got 6 and 8 numbers/);
  });
});

describe('heat map', () => {
  it('interpolates between grid points', () => {
    expect(interpolate(grid, 0.25, 0.5)).toBe(-0.5);
    expect(interpolate({ values: [7], columns: 1, rows: 1 }, 0.3, 0.9)).toBe(7);
  });

  it('draws the first row of the grid at the bottom', async () => {
    const { width, height, at } = await pixelsOf(await heatMap(grid, 2, 101, 101));
    expect([width, height]).toEqual([101, 101]);
    // Pixel centres lie half a pixel inside the corners, where the value is a hundredth off.
    for (const [x, y, value] of [[0, 100, -1], [100, 0, 1], [50, 50, 0]] as const) {
      const colour = divergingColour(value * 0.99);
      at(x, y).forEach((channel, c) => expect(Math.abs(channel - colour[c]!)).toBeLessThanOrEqual(2));
    }
    expect((await pixelsOf(await heatMap({ ...grid, values: [NaN, NaN, NaN, NaN] }, 2, 3, 3))).at(1, 1)).toEqual([128, 128, 128]);
    await expect(heatMap({ ...grid, rows: 3 }, 1, 5, 5)).rejects.toThrow(/grid of 2 × 3 needs as many values, got 4/);
  });

  it('limits its colours by all but a few values', () => {
    expect(colourLimit({ values: [...ramp].map((i) => (i === 5 ? -1e9 : 1)), columns: 200, rows: 1 })).toBe(1);
    expect(colourLimit({ values: [0, NaN], columns: 2, rows: 1 })).toBe(1);
  });
});

describe('pictures', () => {
  const series = (y: ArrayLike<number>) => ({ name: 'a', x: ramp, y });

  it('draws text with the packaged fonts', async () => {
    const [bare, titled] = await Promise.all([scatterPlot({ data: cloud }), scatterPlot({ data: cloud, title: 'Swiss roll' })]);
    const ink: [number, number, number] = [0x22, 0x27, 0x2e];
    expect(await countColour(bare, ink)).toBe(0);
    expect(await countColour(titled, ink)).toBeGreaterThan(300);
    expect(titled.svg).toContain('Swiss roll');
  });

  it('scatter plot: samples over data, scaled as asked', async () => {
    const [both, none] = await Promise.all([scatterPlot({ data: cloud, samples: cloud, scale: 1 }), scatterPlot({ data: cloud, scale: 1 })]);
    expect(await countColour(both, orange)).toBeGreaterThan(20);
    expect(await countColour(none, orange)).toBe(0);
    const [small, large] = await Promise.all([pixelsOf(none.png), scatterPlot({ data: cloud, scale: 3 }).then(({ png }) => pixelsOf(png))]);
    expect(Math.abs(large.width / small.width - 3)).toBeLessThan(0.01);
  });

  it('field plot: negative and positive colours, arrows, particles and a path', async () => {
    const bare = await fieldPlot({ field: grid, extent, scale: 1 });
    expect(await countColour(bare, divergingColour(-0.9))).toBeGreaterThan(100);
    expect(await countColour(bare, divergingColour(0.9))).toBeGreaterThan(100);
    const positions = Float32Array.of(-0.5, 0, 0.5, 0);
    const full = await fieldPlot({ field: grid, extent, arrows: { positions, vectors: positions }, data: cloud, particles: cloud, trajectory: positions, scale: 1 });
    expect(await countColour(bare, orange)).toBe(0);
    expect(await countColour(full, orange)).toBeGreaterThan(20);
    await expect(fieldPlot({ field: grid })).rejects.toThrow(/need the `extent`/);
    await expect(fieldPlot({ extent })).rejects.toThrow(/A scene needs/);
  });

  it('particle panels: one frame per panel, in rows', async () => {
    const panels = ['one', 'two', 'three'].map((title) => ({ title, data: cloud, particles: cloud }));
    const [row, column] = await Promise.all([particlePanels({ panels, scale: 1 }), particlePanels({ panels, columns: 1, scale: 1 })]);
    for (const { title } of panels) expect(row.svg).toContain(`>${title}<`);
    const [wide, tall] = [await pixelsOf(row.png), await pixelsOf(column.png)];
    expect(wide.width).toBeGreaterThan(2 * wide.height);
    expect(tall.height).toBeGreaterThan(2 * tall.width);
    await expect(particlePanels({ panels: [] })).rejects.toThrow(ArgumentError);
  });

  it('line chart: panels, gaps, references, logarithmic axes', async () => {
    const picture = await lineChart({
      title: 'Curve',
      panels: [
        { label: 'first', series: [series(ramp.map((i) => (i === 50 ? NaN : Math.sin(i))))], reference: { value: 0.5, label: 'half' } },
        { label: 'second', series: [series(ramp.map((i) => 10 ** (i / 50))), { ...series(ramp.map((i) => i + 1)), name: 'b' }], logarithmic: true },
      ],
    });
    for (const text of ['Curve', 'first', 'half', 'second', 'iteration', 'b']) expect(picture.svg).toContain(`>${text}<`);
    expect(picture.svg).not.toContain('NaN');
    await expect(lineChart({ panels: [{ label: 'x', series: [{ name: 's', x: [1, 2], y: [1] }] }] })).rejects.toThrow(/Series "s": 2 abscissas for 1 values/);
    await expect(lineChart({ panels: [] })).rejects.toThrow(ArgumentError);
  });

  it('line chart: a small value that never changes lies in the middle of an axis of its size', async () => {
    const { svg } = await lineChart({ panels: [{ label: 'rate', series: [series(ramp.map(() => 1e-4))] }] });
    expect(svg).toContain('>0.00010<');
    expect(svg).not.toMatch(/>[−-]?0\.[1-9]</);
  });

  it('training curve: also of a run that has only begun', async () => {
    for (const n of [0, 1, 200]) {
      const y = ramp.slice(0, n);
      const { svg } = await lineChart({ panels: trainingPanels({ iterations: y, loss: y, logRatioData: y, logRatioSamples: y, balancedLoss: 1.4 }), subtitle: 'digits' });
      for (const text of ['loss', 'mean log q/p', 'on data', 'on samples', 'digits']) expect(svg).toContain(`>${text}<`);
      expect(svg).not.toContain('NaN');
      expect(svg).not.toContain('1.400000'); // what an axis of no extent is labelled
    }
  });

  it('histogram: densities of area 1 in common bins', async () => {
    const groups = [{ name: 'data', values: [-1, -0.5, -0.25, NaN] }, { name: 'samples', values: [0.5, 3] }];
    const { start, width, density } = binsOf(groups, 8);
    expect([start, width]).toEqual([-1, 0.5]);
    expect([...density[0]!].map((v) => Math.round(v * 6) / 6)).toEqual([2 / 3, 4 / 3, 0, 0, 0, 0, 0, 0].map((v) => Math.round(v * 6) / 6));
    expect([...density[1]!]).toEqual([0, 0, 0, 1, 0, 0, 0, 1]);
    const { svg } = await histogram({ groups });
    for (const text of ['data', 'samples', 'log q/p', 'density']) expect(svg).toContain(`>${text}<`);
    await expect(histogram({ groups: [{ name: 'x', values: [NaN] }] })).rejects.toThrow(/at least one bar and one finite value/);
  });
});
