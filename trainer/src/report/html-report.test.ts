/** The report: everything inside it, nothing of the run's own text taken for markup, colours that turn. */
import { encodePng } from '@ratioflow/node';
import { pairingOf, type Runtime } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/load.js';
import type { IterationMetrics } from '../loop/train.js';
import { lineChart } from '../pictures/line-chart.js';
import { trainingPanels } from '../pictures/training-curve.js';
import type { Assembly } from '../run/assemble.js';
import { estimatorRecord } from '../run/estimator-record.js';
import { htmlReport } from './html-report.js';
import { reportOf, spread, type RunFacts } from './run-report.js';

const rows = Array.from({ length: 80 }, (_, i): IterationMetrics => ({ iteration: i + 1, loss: 2, logRatioData: -1, logRatioSamples: 0.5, learningRate: 1e-4, milliseconds: i === 0 ? 5000 : 1000, flowMilliseconds: 750 }));
const config = parseConfig(`
name: tiny
data: { name: swiss-roll }
estimator: { name: mlp }
prior: gaussian
flow: { K: 50, eta: 1 }
training: { iterations: 160, batch: 100, decayAt: [5, 10] }
`, 'test');

const facts = async (pixels: number): Promise<RunFacts<IterationMetrics>> => {
  const iterations = rows.map(({ iteration }) => iteration);
  const png = await encodePng({ shape: [1, 1, pixels, pixels], data: new Float32Array(pixels * pixels) });
  const assembly = {
    config, source: null, pairing: pairingOf(config.pairing),
    dataset: { name: 'images of <b>"mine"</b> & others', sampleShape: [2], size: 12_345 },
    network: { weights: [{ originalName: 'all/kernel', shape: [12_737] }] }, prior: { kind: 'gaussian', state: { kind: 'gaussian' } },
    tensorflow: { tf: { version: { 'tfjs-core': '4.5.6' } }, description: 'here' },
  } as unknown as Assembly;
  return {
    subject: estimatorRecord(assembly, { name: 'there' } as Runtime),
    status: 'It goes on.',
    rows,
    charts: [
      { title: 'First', svg: (await lineChart({ panels: trainingPanels({ iterations, loss: iterations, logRatioData: iterations, logRatioSamples: iterations, balancedLoss: 1.4 }) })).svg },
      { title: 'Second', svg: '<svg width="3" height="3"><clipPath id="clip0"/><g clip-path="url(#clip0)"/></svg>' },
    ],
    previews: Array.from({ length: 9 }, (_, i) => ({ iteration: 10 * (i + 1), read: () => Promise.resolve(png) })),
  };
};

describe('the report of a run', () => {
  it('says how far it got, how long it takes, and what it was made of', async () => {
    const { figures, sections, previews } = await reportOf(await facts(8));
    const shown = (label: string): string => Object.values(figures.find((figure) => figure.label === label)!).slice(1).join('; ');
    expect(shown('Iterations')).toBe('80; of 160');
    expect(shown('Loss')).toBe('2.000; mean of the last 2');
    // 84 s in all; what is left goes by the median, not by the first iteration: 80 · 1 s.
    expect(shown('Time of training')).toBe('1.4 min; about 1.33 min left');
    expect(shown('An iteration')).toBe('1 s; median');
    // 80 · 0.75 s of 84 s.
    expect(shown('Flow')).toBe('71 %; of the time');
    expect(shown('Samples moved')).toMatch(/^5,000;/);
    const all = new Map(sections.flatMap((section) => section.rows));
    expect([all.get('flow.K'), all.get('training.decayAt'), all.get('estimator'), all.get('tfjs')]).toEqual(['50', '[5, 10]', 'mlp, 12,737 parameters', '4.5.6']);
    expect(previews.map(({ caption }) => caption)).toEqual([10, 30, 40, 60, 70, 90].map((iteration) => `iteration ${iteration}`));
  });

  it('is one file without network or script, with its text escaped and its colours by name', async () => {
    const html = htmlReport(await reportOf(await facts(8)));
    expect(html).not.toMatch(/<script|<link|@import|(?:src|href)="(?!data:)/);
    // Namespaces of SVG are names, no addresses.
    expect(html.replace(/http:\/\/www\.w3\.org\/[\w/]+/g, '')).not.toMatch(/https?:/);
    expect(html).toContain('images of &lt;b&gt;&quot;mine&quot;&lt;/b&gt; &amp; others');
    expect(html).toContain('fill="var(--card)"');
    expect(html).not.toMatch(/"(white|#22272e|#e6e8eb|#0072b2|#d55e00)"/);
    expect(html).toContain('<clipPath id="Second-clip0"/><g clip-path="url(#Second-clip0)"/>');
    expect(html.match(/src="data:image\/png;base64,/g)).toHaveLength(6);
  });

  it('makes wide previews smaller', async () => {
    const [preview] = (await reportOf(await facts(1000))).previews;
    expect([preview!.width, preview!.height]).toEqual([720, 720]);
    expect(preview!.source).toMatch(/^data:image\/webp;base64,/);
  });

  it('chooses previews from first to last', () => {
    expect(spread([1, 2, 3], 6)).toEqual([1, 2, 3]);
    expect(spread(Array.from({ length: 100 }, (_, i) => i), 4)).toEqual([0, 33, 66, 99]);
  });
});
