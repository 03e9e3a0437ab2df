/** What the page says in numbers: the step under the screen, and which engine runs how fast. */
import type { Frame, Statistics } from '@ratioflow/sdk';
import { element, input, show, text } from './page.js';
import type { Run } from './player.js';
import { mean } from './trace.js';

/** Shows the frame on the screen, and the speed of the flow that it is of. */
export function showFrame(run: Run, frame: Frame | undefined): void {
  const position = input('position');
  position.max = String(run.of);
  position.value = String(frame?.step ?? 0);
  position.setAttribute('aria-valuetext', frame === undefined ? 'nothing yet' : `step ${frame.step} of ${run.of}, ${frame.stage}`);
  text('step').textContent = frame === undefined ? '–' : `${frame.step}/${run.of}`;
  text('stage').textContent = frame?.stage ?? '–';
  text('ratio').textContent = show(mean(frame?.logRatio));
  // What the engine took is known at the end; until then it is at most the time from frame to frame.
  const exact = run.statistics?.millisecondsPerStep;
  const took = exact ?? run.frameMilliseconds;
  const known = took > 0;
  text('speed').textContent = known ? `${exact === undefined ? '≤ ' : ''}${show(took)} ms` : '–';
  text('rate').textContent = known ? `${exact === undefined ? '≥ ' : ''}${Math.round((run.frames[0]?.x.shape[0] ?? 0) * 1000 / took).toLocaleString('en')}/s` : '–';
  if (run.statistics !== undefined) showEngine(run.statistics);
}

const titles: Readonly<Record<string, string>> = { wasm: 'WebAssembly', webgpu: 'WebGPU' };

/** Shows what really runs, and what it remarked. */
export function showEngine({ provider, runtime, warnings }: Pick<Statistics, 'provider' | 'runtime' | 'warnings'>): void {
  text('provider').textContent = titles[provider] ?? provider;
  text('provider').title = runtime;
  const details = element('warnings', HTMLDetailsElement);
  details.hidden = warnings.length === 0;
  details.querySelector('summary')!.textContent = warnings.length === 1 ? '1 remark' : `${warnings.length} remarks`;
  details.querySelector('ul')!.replaceChildren(...warnings.map((warning) => Object.assign(document.createElement('li'), { textContent: warning })));
}
