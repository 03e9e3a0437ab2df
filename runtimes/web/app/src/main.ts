/** The page: a screen on which a flow is played, a scale of its steps, and the dials that set it. */
import type { Model } from '@ratioflow/sdk';
import { createDials, dialNames } from './dials.js';
import { openEntry } from './engine.js';
import { boundOf, computeField } from './field.js';
import { createClassPicker } from './guidance.js';
import { listenToKeys } from './keyboard.js';
import { createLibrary } from './library.js';
import type { Entry } from './library.js';
import { createPad } from './pad.js';
import { button, canvas, clear, element, input, messageOf, text } from './page.js';
import { createPlayer } from './player.js';
import type { Run } from './player.js';
import { showEngine, showFrame } from './readouts.js';
import { savePng } from './save.js';
import { isSeed, readSettings, writeSettings } from './settings.js';
import { completed, flowOptions, hasBridging, modeOf, trainedOf, trialStart } from './start.js';
import { drawTrace } from './trace.js';
import { createImagesView } from './view-images.js';
import { createPointsView } from './view-points.js';

const settings = readSettings(location.hash);
let entry: Entry | undefined;
let model: Model | undefined;
let view: ((frames: Run['frames'], place: number) => void) | undefined;
let opening = new AbortController();
/** Whether a flow has failed: its engine may be of no more use, as one whose graphics device is lost. */
let failed = false;
/** How often a flow has been asked for: what an earlier one still prepares is of no interest to the latest. */
let asked = 0;

const say = (message: string): void => {
  text('said').textContent = message;
};
const notice = (message: string, wrong = false): void => {
  text('notice').textContent = message;
  text('notice').classList.toggle('wrong', wrong);
};

const transport = ['rewind', 'back', 'play', 'forward', 'position'];
const hasFlow = ({ frames, of }: Run): boolean => frames.length > 0 || of > 0;

const player = createPlayer({
  onShow: (run, place) => {
    const frame = run.frames[Math.round(place)];
    if (view === undefined) clear(canvas('view'));
    else view(run.frames, place);
    if (frame !== undefined && !text('notice').classList.contains('wrong')) notice('');
    drawTrace(canvas('trace'), run);
    // Without a flow there is nothing to move in.
    for (const id of transport) element(id, HTMLElement).toggleAttribute('disabled', !hasFlow(run));
    showFrame(run, frame);
  },
  onPlaying: (playing) => {
    document.body.classList.toggle('playing', playing);
    button('play').setAttribute('aria-label', playing ? 'Pause' : 'Play');
  },
  onError: (error) => {
    failed = true;
    notice(messageOf(error), true);
  },
});

const dials = createDials((name, value) => {
  settings[name] = value;
  restartSoon();
});
const classes = createClassPicker((choice) => {
  settings.class = choice;
  restartSoon();
});
const pad = createPad(() => restartSoon());

/** Shows in the controls and in the address what is set. */
function showSettings(): void {
  const mode = model === undefined ? settings.mode : modeOf(settings, model.manifest);
  for (const [name, value] of [['mode', mode], ['provider', settings.provider]] as const) {
    element('controls', HTMLFormElement).querySelector<HTMLInputElement>(`input[name=${name}][value=${value}]`)!.checked = true;
  }
  for (const choice of element('controls', HTMLFormElement).querySelectorAll<HTMLInputElement>('input[name=mode]')) choice.disabled = model?.manifest.prior.kind === 'source' && choice.value !== mode;
  document.body.classList.toggle('drawing', mode === 'draw');
  for (const row of document.querySelectorAll<HTMLElement>('[data-mode]')) row.hidden = !row.dataset.mode!.split(' ').includes(mode);
  for (const which of ['seed', 'seedB'] as const) if (document.activeElement !== input(which)) input(which).value = settings[which];
  if (model !== undefined) {
    input('K').disabled = input('K-slider').disabled = !hasBridging(model.manifest, mode);
    const full = completed(settings, model.manifest);
    // As many points as have been drawn.
    input('count').disabled = input('count-slider').disabled = mode === 'draw' && model.manifest.sampleShape.length === 1;
    dials.show(trainedOf(model.manifest, mode), full);
    classes.show(full.class);
  }
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
  const mine = ++asked;
  showSettings();
  if (current === undefined) return;
  if (failed && entry !== undefined) {
    void openBundle(entry);
    return;
  }
  const full = completed(settings, current.manifest);
  const drawing = full.mode === 'draw' ? pad.x0(full.count) : undefined;
  if (full.mode === 'draw' && drawing === undefined) {
    player.clear();
    notice('Draw something on the pad.');
    return;
  }
  notice('');
  try {
    const options = await flowOptions(current, full, drawing);
    if (mine !== asked) return;
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    player.start(current, options, full.K, full.K + full.kappa, still);
    if (!still) player.play();
  } catch (error) {
    if (mine === asked) notice(messageOf(error), true);
  }
}

/** Makes screen and pad for a model, and thereby loads its graphs: the engine that took them is known then. */
async function prepare(opened: Model, signal: AbortSignal): Promise<typeof view> {
  const { manifest } = opened;
  const { sampleShape } = manifest;
  text('facts').textContent = `${manifest.name} · ${sampleShape.length === 1 ? 'points' : sampleShape.join('×')} · ${manifest.pairing} · prior ${manifest.prior.kind}`;
  if (sampleShape.length === 1 && sampleShape[0] !== 2) {
    throw new Error(`Samples of this bundle are points of ${sampleShape[0]} dimensions; the page shows images and points of the plane.`);
  }
  if (sampleShape.length > 1) {
    showEngine((await opened.sample({ K: 1, kappa: 0, ...trialStart(manifest, 1) })).statistics);
    signal.throwIfAborted();
    pad.fit(manifest, 1);
    return createImagesView(canvas('view'), sampleShape, manifest.valueRange ?? [-1, 1]);
  }
  const { bound, statistics } = await boundOf(opened);
  showEngine(statistics);
  const field = await computeField(opened, bound);
  signal.throwIfAborted();
  pad.fit(manifest, bound);
  return createPointsView(canvas('view'), field);
}

async function openBundle(chosen: Entry): Promise<void> {
  opening.abort();
  const { signal } = opening = new AbortController();
  failed = false;
  asked++;
  player.clear();
  const before = model;
  [model, view] = [undefined, undefined];
  void before?.dispose();
  entry = chosen;
  settings.bundle = chosen.id;
  showBundles(chosen);
  showSettings();
  text('facts').textContent = '';
  showEngine({ provider: '–', runtime: '', warnings: [] });
  notice(`Opening ${chosen.label}…`);
  let opened: Model | undefined;
  try {
    opened = await openEntry(chosen, settings.provider, signal, ({ file, loaded, total }) => {
      const kilobytes = (bytes: number): string => Math.ceil(bytes / 1024).toLocaleString('en');
      // After a file there may be the engine to fetch, which tells nothing.
      notice(loaded === total ? 'Starting the engine…' : `${file}: ${kilobytes(loaded)} kB${total === undefined ? '' : ` of ${kilobytes(total)}`}`);
    });
    notice('Starting the engine…');
    view = await prepare(opened, signal);
    classes.fit(opened.manifest);
    canvas('view').setAttribute('aria-label', opened.manifest.sampleShape.length === 1 ? 'Particles moving over the field of log q/p' : 'Images emerging from the prior');
    model = opened;
    await restart();
  } catch (error) {
    void opened?.dispose();
    if (!signal.aborted) notice(messageOf(error), true);
  }
}

function showBundles(chosen?: Entry): void {
  const select = element('bundle', HTMLSelectElement);
  const entries = [...library.listed, ...(chosen === undefined || library.listed.includes(chosen) ? [] : [chosen])];
  select.replaceChildren(...entries.map((item) => new Option(item.label, item.id, false, item === chosen)));
  if (entries.length === 0) select.add(new Option('no bundle', ''));
}

const anotherSeed = (which: 'seed' | 'seedB'): void => {
  settings[which] = String(crypto.getRandomValues(new Uint32Array(1))[0]! % 1_000_000);
  restartSoon();
  showSettings();
};
const toggle = (): void => {
  if (player.playing) player.pause();
  else if (hasFlow(player.run)) player.play();
};
const save = (): void => {
  const frame = player.run.frames[Math.round(player.place)];
  if (model === undefined || frame === undefined) say('There is no picture to save yet.');
  else savePng(`${model.manifest.name}-seed${settings.seed}-step${frame.step}`, (name) => say(`Saved ${name}.`));
};
const actions = { rewind: () => player.seek(0), back: () => player.move(-1), play: toggle, forward: () => player.move(1), save, dice: () => anotherSeed('seed'), diceB: () => anotherSeed('seedB') };
for (const [id, action] of Object.entries(actions)) button(id).addEventListener('click', action);
listenToKeys({ ' ': toggle, Home: actions.rewind, End: () => player.seek(Infinity), ArrowLeft: actions.back, ArrowRight: actions.forward, s: save, n: actions.dice });

input('position').addEventListener('input', () => {
  const step = Number(input('position').value);
  player.seek(Math.max(0, player.run.frames.findLastIndex((frame) => frame.step <= step)));
});
for (const which of ['seed', 'seedB'] as const) {
  input(which).addEventListener('input', () => {
    const valid = isSeed(input(which).value);
    input(which).setCustomValidity(valid ? '' : 'A whole number from 0 to 2⁶⁴ − 1');
    if (!valid) return;
    settings[which] = input(which).value;
    restartSoon();
  });
  // Said once the number is complete, not while it is typed.
  input(which).addEventListener('change', () => void input(which).reportValidity());
}
button('reset').addEventListener('click', () => {
  for (const name of dialNames) settings[name] = undefined;
  restartSoon();
});
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
const redraw = (): void => player.seek(Math.round(player.place));
new ResizeObserver(() => player.playing || redraw()).observe(text('screen'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => player.playing || redraw());

showSettings();
notice('Looking for bundles…');
const library = await createLibrary((chosen) => void openBundle(chosen), (message) => notice(message, true));
element('bundle', HTMLSelectElement).addEventListener('change', ({ target }) => {
  const chosen = library.choose((target as HTMLSelectElement).value);
  if (chosen !== undefined) void openBundle(chosen);
});
const openFirst = (): void => {
  const named = library.choose(settings.bundle);
  const first = named ?? library.listed[0];
  if (settings.bundle !== '' && named === undefined && first !== undefined) say(`There is no bundle ${JSON.stringify(settings.bundle.slice(0, 60))} here: this is ${first.label}.`);
  showBundles(first);
  if (first === undefined) notice('Open a bundle, or drop one here.');
  else void openBundle(first);
};
// Somebody pasted another address into the same tab.
addEventListener('hashchange', () => {
  const { bundle, provider } = settings;
  Object.assign(settings, readSettings(location.hash));
  if (settings.bundle === bundle && settings.provider === provider) void restart();
  else openFirst();
});
openFirst();
