/**
 * How the steps of the flow reach the engine: several at a time inside `sampler.onnx` where the engine runs loops
 * itself, else one by one through `step.onnx`, x staying on the engine's device where it can. Chosen from the session's
 * capabilities, never from a provider's name.
 */
import type { Settings } from './options.js';
import type { Engine } from './sample.js';
import type { DeviceTensor, FloatTensor, Session, Tensor } from './runtime.js';
import { floatTensor, scalar } from './tensor.js';

/** `graph`: chunks of steps in `sampler.onnx`; `step`: `step.onnx` once for every step; `device`: the same, x on the device. */
export type PlanName = 'graph' | 'step' | 'device';

/** x on its way, on the host or on the engine's device. */
export type Moving = FloatTensor | DeviceTensor;

/** x on the host. */
export const hostOf = async (x: Moving): Promise<FloatTensor> => ('data' in x ? x : floatTensor(await x.read(), x.shape));

/** Frees x where it is on a device. */
export const release = (x: Moving): void => {
  if (!('data' in x)) x.dispose();
};

/** The update of Algorithm 2 on an engine. */
export interface Plan {
  readonly name: PlanName;
  readonly session: Session;
  /** How many steps one call should take. */
  readonly pace: Pace;
  /** x_{k+1} = x_k − η ∇f'(r(x_k)) + ν ξ_k for as many steps as `noise` holds, `steps` of them. */
  advance(x: Moving, noise: Float32Array, steps: number, extras?: Readonly<Record<string, Tensor>>): Promise<Moving>;
}

/** Chooses between the chunk size that keeps calls cheap and the one that keeps them short. */
export interface Pace {
  /** Steps for the next call on `samples` samples. */
  steps(samples: number): number;
  /** Reports what a call took. */
  measured(samples: number, steps: number, milliseconds: number): void;
}

/** A call should take about this long, so that aborting and frames stay prompt and an event loop is not blocked. */
const callMilliseconds = 100;

/** Measures as it goes: cost of a step, by samples, remembered from call to call. */
export function createPace(): Pace {
  let perSample = Infinity;
  let most = 1;
  return {
    steps: (samples) => Math.max(1, Math.min(most, Math.floor(callMilliseconds / (perSample * samples)))),
    measured: (samples, steps, milliseconds) => {
      const measured = milliseconds / steps / samples;
      // One slow call, the first or one among many at once, must not shrink those that follow for long.
      perSample = perSample === Infinity ? measured : Math.min(measured, 2 * perSample);
      most = Math.max(most, 8 * steps);
    },
  };
}

const always: Pace = { steps: () => 1, measured: () => undefined };

/** Chooses the plan for this engine, whose pace all calls on one model share. */
export async function choosePlan({ graphs, manifest, pace }: Engine, { eta, nu, signal }: Settings): Promise<Plan> {
  const scalars = { eta: scalar(eta), nu: scalar(nu) };
  // Any session tells what the engine can do, and sampling mostly needs this one anyhow.
  const { controlFlow, lowerings } = (await graphs.session('prior', signal)).capabilities;
  const plain = controlFlow ? 'sampler' : 'step';
  const input = controlFlow ? 'x0' : 'x';
  const output = controlFlow ? 'x' : 'next';
  const graph = lowerings?.map((kind) => `${plain}-${kind}` as const).find((name) => manifest.files[`${name}.onnx`]) ?? plain;
  const session = await graphs.session(graph, signal);
  const onDevice = !controlFlow && session.capabilities.deviceTensors;
  return {
    name: controlFlow ? 'graph' : onDevice ? 'device' : 'step', session, pace: controlFlow ? pace : always,
    advance: async (x, xi, steps, extras) => {
      const feeds = { ...extras, ...scalars, noise: floatTensor(xi, controlFlow ? [steps, ...x.shape] : x.shape) };
      return onDevice
        ? graphs.runOnDevice(graph, { ...feeds, x }, output, x.shape)
        : (await graphs.run(graph, { ...feeds, [input]: await hostOf(x) }, { [output]: x.shape }))[output]!;
    },
  };
}
