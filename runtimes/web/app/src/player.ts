/**
 * Runs a flow and plays it: frames are kept as they arrive, as fast as the engine makes them, and shown at a pace of
 * their own, so that one can stop, go back and on at will.
 */
import type { FlowOptions, Frame, Model, Statistics } from '@ratioflow/sdk';

/** Bytes of frames that are kept; longer flows are kept at fewer steps. */
const keepBytes = 400 * 2 ** 20;

/** The flow so far. */
export interface Run {
  readonly frames: readonly Frame[];
  /** Steps of the whole flow. */
  readonly of: number;
  /** Bridging steps among them. */
  readonly K: number;
  /** Milliseconds from frame to frame lately, for each step: what a step takes, its log ratio and the drawing; NaN before. */
  readonly frameMilliseconds: number;
  /** Once the flow is done. */
  readonly statistics: Statistics | undefined;
}

export interface PlayerEvents {
  /** A place between two frames, counted in frames, is to be shown; `run` may have grown. */
  readonly onShow: (run: Run, place: number) => void;
  readonly onPlaying: (playing: boolean) => void;
  readonly onError: (error: unknown) => void;
}

export interface Player {
  /** Begins a flow, after the one under way has been given up. @param still it is not played: its end is shown once it is there */
  start(model: Model, options: FlowOptions, K: number, of: number, still: boolean): void;
  /** Gives the flow up and forgets it. */
  clear(): void;
  play(): void;
  pause(): void;
  /** Moves by so many frames, or to a frame, and pauses. */
  move(by: number): void;
  seek(frame: number): void;
  readonly playing: boolean;
  readonly run: Run;
  readonly place: number;
}

const nothing: Run = { frames: [], of: 0, K: 0, frameMilliseconds: NaN, statistics: undefined };

export function createPlayer({ onShow, onPlaying, onError }: PlayerEvents): Player {
  let run: Run = nothing;
  let place = 0;
  let playing = false;
  let abort = new AbortController();
  let lastTick = 0;
  let drawing = false;

  const last = (): number => Math.max(0, run.frames.length - 1);
  const redraw = (): void => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(tick);
  };
  const setPlaying = (value: boolean): void => {
    if (playing === value) return;
    playing = value;
    lastTick = 0;
    onPlaying(value);
    redraw();
  };
  /** Frames a second: the whole flow in about five seconds, as far as the eye can follow. */
  const pace = (): number => Math.max(6, Math.min(50, run.of / 5));
  const tick = (time: number): void => {
    drawing = false;
    if (playing) {
      const elapsed = lastTick === 0 ? 0 : Math.min(0.1, (time - lastTick) / 1000);
      lastTick = time;
      place = Math.min(last(), place + elapsed * pace());
      if (run.frames.at(-1)?.step === run.of && place >= last()) setPlaying(false);
    }
    onShow(run, place);
    if (playing) redraw();
  };

  const produce = async (model: Model, options: FlowOptions, K: number, of: number, still: boolean): Promise<void> => {
    const { signal } = abort = new AbortController();
    const frames: Frame[] = [];
    run = { ...nothing, frames, K, of };
    place = 0;
    const elements = (options.x0?.shape[0] ?? options.count ?? 1) * model.manifest.sampleShape.reduce((a, b) => a * b, 1);
    const every = Math.max(1, Math.ceil((of + 1) * elements * 4 / keepBytes));
    try {
      const flow = model.flow({ ...options, every, logRatio: true, signal });
      let since = performance.now();
      for (;;) {
        const result = await flow.next();
        if (signal.aborted) return;
        if (result.done === true) {
          run = { ...run, statistics: result.value };
          break;
        }
        const now = performance.now();
        const took = (now - since) / every;
        since = now;
        frames.push(result.value);
        // The first frame includes the loading of graphs.
        const lately = frames.length < 2 ? NaN : Number.isNaN(run.frameMilliseconds) ? took : run.frameMilliseconds + (took - run.frameMilliseconds) / 8;
        run = { ...run, frameMilliseconds: lately };
        redraw();
      }
      if (still && place === 0 && !playing) place = last();
      redraw();
    } catch (error) {
      if (signal.aborted) return;
      setPlaying(false);
      onError(error);
    }
  };

  const seek = (frame: number): void => {
    setPlaying(false);
    place = Math.max(0, Math.min(last(), frame));
    redraw();
  };
  return {
    start: (model, options, K, of, still) => {
      abort.abort();
      if (still) setPlaying(false);
      void produce(model, options, K, of, still);
      lastTick = 0;
      redraw();
    },
    clear: () => {
      abort.abort();
      run = nothing;
      seek(0);
    },
    play: () => {
      if (run.frames.at(-1)?.step === run.of && place >= last()) place = 0;
      setPlaying(true);
    },
    pause: () => setPlaying(false),
    move: (by) => seek(by < 0 ? Math.ceil(place) + by : Math.floor(place) + by),
    seek,
    get playing() {
      return playing;
    },
    get run() {
      return run;
    },
    get place() {
      return place;
    },
  };
}
