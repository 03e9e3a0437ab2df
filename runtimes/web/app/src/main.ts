/** The page: a screen on which a flow is played, a scale of its steps, and the dials that set it. */
import type { Model, Statistics } from '@ratioflow/sdk';
import { createDials, dialNames } from './dials.js';
import type { DialName } from './dials.js';
import { openEntry } from './engine.js';
import { boundOf, computeField } from './field.js';
import { createLibrary } from './library.js';
import type { Entry } from './library.js';
import { createPad } from './pad.js';
import { button, canvas, element, input, messageOf, show, text } from './page.js';
import { createPlayer } from './player.js';
import type { Run } from './player.js';
import { isSeed, readSettings, writeSettings } from './settings.js';
import { flowOptions } from './start.js';
import type { FullSettings } from './start.js';
import { drawTrace, mean } from './trace.js';
import { createImagesView } from './view-images.js';
import { createPointsView } from './view-points.js';

const settings = readSettings(location.hash);
let entry: Entry | undefined;
let model: Model | undefined;
let view: ((frames: Run['frames'], place: number) => void) | undefined;
let opening = new AbortController();

const say = (message: string): void => {
  text('said').textContent = message;
};
const notice = (message: string, wrong = false): void => {
  text('notice').textContent = message;
  text('notice').classList.toggle('wrong', wrong);
};

const player = createPlayer({
  onShow: (run, place) => {
    const frame = run.frames[Math.round(place)];
    view?.(run.frames, place);
    if (frame !== undefined && !text('notice').classList.contains('wrong')) notice('');
    drawTrace(canvas('trace'), run);
    const position = input('position');
    position.max = String(run.of);
    position.value = String(frame?.step ?? 0);
    position.setAttribute('aria-valuetext', frame === undefined ? 'nothing yet' : `step ${frame.step} of ${run.of}, ${frame.stage}`);
    text('step').textContent = frame === undefined ? '–' : `${frame.step}/${run.of}`;
    text('stage').textContent = frame?.stage ?? '–';
    text('ratio').textContent = show(mean(frame?.logRatio));
    showSpeed(run);
  },
  onPlaying: (playing) => {
    document.body.classList.toggle('playing', playing);
    button('play').setAttribute('aria-label', playing ? 'Pause' : 'Play');
  },
  onError: (error) => notice(messageOf(error), true),
});

const dials = createDials((name, value) => {
  settings[name] = value;
  restartSoon();
});
const pad = createPad(() => restartSoon());

function trained(): Record<DialName, number> {
  const { sampleShape, K, kappa, eta, nu } = model!.manifest;
  return { count: sampleShape.length === 1 ? 1024 : sampleShape[1]! > 40 ? 4 : 16, K, kappa, eta, nu };
}

function fullSettings(): FullSettings {
  const values = trained();
  const full = { ...settings, ...Object.fromEntries(dialNames.map((name) => [name, settings[name] ?? values[name]])) } as FullSettings;
  // A drawing is refined in any case, and a path between two seeds needs both ends.
  if (settings.mode === 'draw' && full.kappa === 0) full.kappa = Math.max(1, full.K);
  if (settings.mode === 'interpolate') full.count = Math.max(2, settings.count ?? (model!.manifest.sampleShape.length === 1 ? 256 : values.count));
  return full;
}

function showSpeed({ stepMilliseconds, statistics, frames }: Run): void {
  const count = frames[0]?.x.shape[0] ?? 0;
  text('speed').textContent = Number.isNaN(stepMilliseconds) ? '–' : `${show(stepMilliseconds)} ms`;
  text('rate').textContent = Number.isNaN(stepMilliseconds) ? '–' : `${Math.round(count * 1000 / stepMilliseconds).toLocaleString('en')}/s`;
  if (statistics !== undefined) showEngine(statistics);
}

function showEngine({ provider, runtime, warnings }: Pick<Statistics, 'provider' | 'runtime' | 'warnings'>): void {
  text('provider').textContent = provider === 'wasm' ? 'WebAssembly' : provider === 'webgpu' ? 'WebGPU' : provider;
  text('provider').title = runtime;
  const details = element('warnings', HTMLDetailsElement);
  details.hidden = warnings.length === 0;
  details.querySelector('summary')!.textContent = warnings.length === 1 ? '1 remark' : `${warnings.length} remarks`;
  details.querySelector('ul')!.replaceChildren(...warnings.map((warning) => Object.assign(document.createElement('li'), { textContent: warning })));
}

/** Shows in the controls and in the address what is set. */
function showSettings(): void {
  for (const [name, value] of [['mode', settings.mode], ['provider', settings.provider]] as const) {
    element('controls', HTMLFormElement).querySelector<HTMLInputElement>(`input[name=${name}][value=${value}]`)!.checked = true;
  }
  for (const row of document.querySelectorAll<HTMLElement>('[data-mode]')) row.hidden = !row.dataset.mode!.split(' ').includes(settings.mode);
  if (document.activeElement !== input('seed')) input('seed').value = settings.seed;
  if (document.activeElement !== input('seedB')) input('seedB').value = settings.seedB;
  input('K').disabled = input('K-slider').disabled = settings.mode === 'draw';
  if (model !== undefined) dials.show(trained(), { ...settings, ...(settings.mode === 'prior' ? {} : { count: fullSettings().count, kappa: fullSettings().kappa }) });
  const fragment = writeSettings(settings);
  history.replaceState(null, '', fragment === '' ? location.pathname + location.search : `#${fragment}`);
}

let restartTimer = 0;
function restartSoon(): void {
  clearTimeout(restartTimer);
  restartTimer = window.setTimeout(() => void restart(), 120);
}

async function restart(): Promise<void> {
  const current = model;
  showSettings();
  if (current === undefined) return;
  const full = fullSettings();
  const drawing = settings.mode === 'draw' ? pad.x0(full.count) : undefined;
  if (settings.mode === 'draw' && drawing === undefined) {
    player.stop();
    notice('Draw something on the pad.');
    return;
  }
  notice('');
  try {
    const options = await flowOptions(current, full, drawing);
    if (model !== current) return;
    const K = settings.mode === 'draw' ? 0 : full.K;
    player.start(current, options, K, K + full.kappa);
    player.play();
  } catch (error) {
    if (model === current) notice(messageOf(error), true);
  }
}

async function openBundle(chosen: Entry): Promise<void> {
  opening.abort();
  const { signal } = opening = new AbortController();
  player.stop();
  player.pause();
  const before = model;
  [model, view] = [undefined, undefined];
  void before?.dispose();
  entry = chosen;
  settings.bundle = chosen.id;
  showBundles(chosen);
  notice(`Opening ${chosen.label}…`);
  try {
    const opened = await openEntry(chosen, settings.provider, signal, ({ file, loaded, total }) => notice(`${file}: ${Math.ceil(loaded / 1024).toLocaleString('en')} kB${total === undefined ? '' : ` of ${Math.ceil(total / 1024).toLocaleString('en')}`}`));
    const { manifest } = opened;
    text('facts').textContent = `${manifest.name} · ${manifest.sampleShape.length === 1 ? 'points' : manifest.sampleShape.join('×')} · ${manifest.pairing} · prior ${manifest.prior.kind}`;
    notice('Starting the engine…');
    if (manifest.sampleShape.length === 1 && manifest.sampleShape[0] !== 2) {
      await opened.dispose();
      throw new Error(`Samples of this bundle are points of ${manifest.sampleShape[0]} dimensions; the page shows images and points of the plane.`);
    }
    if (manifest.sampleShape.length === 1) {
      const { bound, statistics } = await boundOf(opened);
      showEngine(statistics);
      const field = await computeField(opened, bound);
      if (signal.aborted) {
        await opened.dispose();
        return;
      }
      pad.fit(manifest, bound);
      view = createPointsView(canvas('view'), field);
    } else {
      // Loads the graph, and tells which provider took it.
      showEngine((await opened.sample({ K: 1, kappa: 0 })).statistics);
      if (signal.aborted) {
        await opened.dispose();
        return;
      }
      pad.fit(manifest, 1);
      view = createImagesView(canvas('view'), manifest.sampleShape, manifest.valueRange ?? [-1, 1]);
    }
    canvas('view').setAttribute('aria-label', manifest.sampleShape.length === 1 ? 'Particles moving over the field of log q/p' : 'Images emerging from the prior');
    model = opened;
    await restart();
  } catch (error) {
    if (!signal.aborted) notice(messageOf(error), true);
  }
}

function showBundles(chosen?: Entry): void {
  const select = element('bundle', HTMLSelectElement);
  const entries = [...library.listed, ...(chosen === undefined || library.listed.includes(chosen) ? [] : [chosen])];
  select.replaceChildren(...entries.map((item) => new Option(item.label, item.id, false, item === chosen)));
  if (entries.length === 0) select.add(new Option('no bundle', ''));
}

function save(): void {
  const name = `${model?.manifest.name.replaceAll(/[^A-Za-z0-9._-]+/g, '-') ?? 'ratioflow'}-seed${settings.seed}-step${player.run.frames[Math.round(player.place)]?.step ?? 0}.png`;
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
    say(`Saved ${name}.`);
  });
}

const anotherSeed = (which: 'seed' | 'seedB'): void => {
  settings[which] = String(crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000);
  restartSoon();
  showSettings();
};
const toggle = (): void => (player.playing ? player.pause() : player.play());

button('play').addEventListener('click', toggle);
button('rewind').addEventListener('click', () => player.seek(0));
button('back').addEventListener('click', () => player.move(-1));
button('forward').addEventListener('click', () => player.move(1));
input('position').addEventListener('input', () => {
  const step = Number(input('position').value);
  const { frames } = player.run;
  player.seek(Math.max(0, frames.findLastIndex((frame) => frame.step <= step)));
});
button('dice').addEventListener('click', () => anotherSeed('seed'));
button('diceB').addEventListener('click', () => anotherSeed('seedB'));
for (const which of ['seed', 'seedB'] as const) {
  input(which).addEventListener('input', () => {
    const valid = isSeed(input(which).value);
    input(which).setCustomValidity(valid ? '' : 'A whole number from 0 to 2⁶⁴ − 1');
    if (!valid) return;
    settings[which] = input(which).value;
    restartSoon();
  });
}
button('reset').addEventListener('click', () => {
  for (const name of dialNames) settings[name] = undefined;
  restartSoon();
});
button('save').addEventListener('click', save);
button('link').addEventListener('click', () => {
  navigator.clipboard.writeText(location.href).then(() => say(settings.bundle === '' ? 'Copied; whoever opens it chooses the files again.' : 'Copied.'), () => say('The browser does not allow copying: take the address of the page.'));
});
element('controls', HTMLFormElement).addEventListener('change', ({ target }) => {
  if (!(target instanceof HTMLInputElement) || target.type !== 'radio') return;
  if (target.name === 'mode') {
    settings.mode = target.value as typeof settings.mode;
    void restart();
  } else {
    settings.provider = target.value as typeof settings.provider;
    showSettings();
    if (entry !== undefined) void openBundle(entry);
  }
});
element('controls', HTMLFormElement).addEventListener('submit', (event) => event.preventDefault());
addEventListener('keydown', (event) => {
  const { target } = event;
  const typing = target instanceof HTMLElement && (target.matches('input:not([type=radio]), select, textarea') || target.closest('dialog') !== null);
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = target instanceof HTMLElement && target.matches('button, summary, [type=radio]');
  const actions: Record<string, () => void> = {
    ...(!onButton && { ' ': toggle }), Home: () => player.seek(0), End: () => player.seek(Infinity), s: save, n: () => anotherSeed('seed'),
    ...(!(target instanceof HTMLInputElement) && { ArrowLeft: () => player.move(-1), ArrowRight: () => player.move(1) }),
  };
  const action = actions[event.key];
  if (action === undefined) return;
  event.preventDefault();
  action();
});
const redraw = (): void => player.seek(Math.round(player.place));
new ResizeObserver(() => player.playing || redraw()).observe(text('screen'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => player.playing || redraw());

showSettings();
notice('Looking for bundles…');
const library = await createLibrary((chosen) => void openBundle(chosen), (message) => notice(message, true));
element('bundle', HTMLSelectElement).addEventListener('change', ({ target }) => {
  const chosen = library.find((target as HTMLSelectElement).value);
  if (chosen !== undefined) void openBundle(chosen);
});
const first = library.find(settings.bundle) ?? library.listed[0];
showBundles(first);
if (first === undefined) {
  notice('Open a bundle, or drop one here.');
} else {
  void openBundle(first);
}
