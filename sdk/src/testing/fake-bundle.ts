/**
 * For tests: a bundle in memory and a runtime that computes its graphs in plain TypeScript, for a pair of Gaussians
 * whose log ratio and drift have a closed form: q = N(0, s² I), p = N(μ, I) in the pairing LR-KL.
 */
import { resolveExternalData } from '../external-data.js';
import type { BundleSource } from '../bundle.js';
import { sha256 } from '../bundle.js';
import { graphFiles, graphTensors } from '../manifest.js';
import type { GraphName } from '../manifest.js';
import type { Capabilities, DeviceTensor, Runtime, Session, Tensor } from '../runtime.js';

export const gaussian = { mean: 1.5, scale: 2 };

/** log q/p at one point. */
export function exactLogRatio(x: ArrayLike<number>): number {
  let sum = -x.length * Math.log(gaussian.scale);
  for (let i = 0; i < x.length; i++) sum += (x[i]! - gaussian.mean) ** 2 / 2 - (x[i]! / gaussian.scale) ** 2 / 2;
  return sum;
}

/** −∂ log(q/p)/∂x, elementwise. */
export const exactDrift = (x: number): number => x / gaussian.scale ** 2 - (x - gaussian.mean);

export interface FakeOptions {
  readonly capabilities?: Partial<Capabilities>;
  /** Called before every run; may wait or throw. */
  readonly onRun?: (graph: GraphName, feeds: Readonly<Record<string, Tensor>>) => Promise<void> | void;
  /** Called when a tensor of the device is read. */
  readonly onRead?: () => void;
  readonly warnings?: readonly string[];
}

/** A runtime with a record of what it loaded and disposed of. */
export interface FakeRuntime extends Runtime {
  readonly loaded: GraphName[];
  readonly disposed: GraphName[];
  /** Device tensors made, those not disposed of yet, and times that one was read. */
  readonly device: { made: number; alive: number; reads: number };
  readonly models: Map<string, { model: Uint8Array; externalData: ReadonlyMap<string, Uint8Array> }>;
}

export function fakeRuntime({ capabilities = {}, onRun, onRead, warnings = [] }: FakeOptions = {}): FakeRuntime {
  const contents = new WeakMap<DeviceTensor, Tensor>();
  const toDevice = (tensor: Tensor): DeviceTensor => {
    runtime.device.made++;
    runtime.device.alive++;
    let disposed = false;
    const result: DeviceTensor = {
      shape: tensor.shape,
      read: () => {
        runtime.device.reads++;
        onRead?.();
        return disposed ? Promise.reject(new Error('read after disposal')) : Promise.resolve((tensor.data as Float32Array).slice());
      },
      dispose: () => {
        if (!disposed) runtime.device.alive--;
        disposed = true;
        contents.delete(result);
      },
    };
    contents.set(result, tensor);
    return result;
  };
  const runtime: FakeRuntime = {
    name: 'fake 1.0', warnings, loaded: [], disposed: [], device: { made: 0, alive: 0, reads: 0 }, models: new Map(),
    load: async (source) => {
      const { name, model, externalData } = await resolveExternalData(source);
      const graph = name.replace('.onnx', '') as GraphName;
      runtime.loaded.push(graph);
      runtime.models.set(name, { model, externalData });
      const session: Session = {
        provider: 'cpu',
        capabilities: { controlFlow: true, deviceTensors: false, ...capabilities },
        inputNames: graphTensors[graph].inputs,
        outputNames: graphTensors[graph].outputs,
        run: async (feeds, outputs = graphTensors[graph].outputs) => {
          await onRun?.(graph, feeds);
          const all = compute(graph, feeds);
          return Object.fromEntries(outputs.map((output) => [output, all[output]!]));
        },
        ...(capabilities.deviceTensors === true && {
          runOnDevice: async (feeds, output) => {
            const inputs = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, 'data' in tensor ? tensor : contents.get(tensor)!]));
            await onRun?.(graph, inputs);
            return toDevice(compute(graph, inputs)[output]!);
          },
        }),
        dispose: () => {
          runtime.disposed.push(graph);
          return Promise.resolve();
        },
      };
      return session;
    },
  };
  return runtime;
}

function compute(graph: GraphName, feeds: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const data = (name: string): Float32Array => feeds[name]!.data as Float32Array;
  const like = (name: string, make: (i: number) => number): Tensor => ({ shape: feeds[name]!.shape, data: Float32Array.from(data(name), (_, i) => make(i)) });
  const logRatio = (name: string): Tensor => {
    const count = feeds[name]!.shape[0]!;
    const elements = data(name).length / count;
    return { shape: [count], data: Float32Array.from({ length: count }, (_, n) => exactLogRatio(data(name).subarray(n * elements, (n + 1) * elements))) };
  };
  const move = (x: Float32Array, noise: Float32Array): Float32Array =>
    x.map((value, i) => value + Math.fround(data('eta')[0]! * exactDrift(value)) + Math.fround(data('nu')[0]! * noise[i]!));
  switch (graph) {
    case 'ratio': return { logRatio: logRatio('x') };
    case 'gradient': return { logRatio: logRatio('x'), drift: like('x', (i) => exactDrift(data('x')[i]!)) };
    case 'step': case 'step-cpu': case 'step-wasm': return { logRatio: logRatio('x'), next: { shape: feeds.x!.shape, data: move(data('x'), data('noise')) } };
    case 'sampler': case 'sampler-cpu': case 'sampler-wasm': {
      let x: Float32Array = data('x0').slice();
      for (let k = 0; k < feeds.noise!.shape[0]!; k++) x = move(x, data('noise').subarray(k * x.length, (k + 1) * x.length));
      return { x: { shape: feeds.x0!.shape, data: x } };
    }
    case 'prior': return { x0: like('z', (i) => 0.5 * data('z')[i]!) };
    default: throw new Error(`no such graph here: ${graph}`);
  }
}

/** The manifest that goes with it, as an object to change at will. */
export function fakeManifest(sampleShape: readonly number[] = [2]): Record<string, unknown> {
  return {
    formatVersion: 1, name: 'fake', sampleShape, valueRange: [-1, 1], pairing: 'lr-kl', eta: 0.1, nu: 0.05, K: 12, kappa: 5,
    prior: { kind: 'gaussian', z: 'normal' }, classNames: null, opset: 18, files: {}, training: null,
    tolerances: { default: { absolute: 1e-5, relative: 1e-5 } }, verification: [],
  };
}

/** A source in memory: `files` besides the graphs, which are empty models unless given. */
export async function fakeSource(manifest: Record<string, unknown> = fakeManifest(), files: Readonly<Record<string, Uint8Array>> = {}): Promise<BundleSource & { files: Map<string, Uint8Array>; reads: string[] }> {
  const contents = new Map<string, Uint8Array>(Object.values(graphFiles).map((name) => [name, new Uint8Array(0)]));
  for (const [name, bytes] of Object.entries(files)) contents.set(name, bytes);
  const records: Record<string, unknown> = {};
  for (const [name, bytes] of contents) records[name] = { size: bytes.byteLength, sha256: await sha256(bytes) };
  contents.set('manifest.json', new TextEncoder().encode(JSON.stringify({ ...manifest, files: records })));
  const reads: string[] = [];
  return {
    location: 'memory', files: contents, reads,
    read: (name) => {
      reads.push(name);
      const bytes = contents.get(name);
      return bytes === undefined ? Promise.reject(new Error(`no such file: ${name}`)) : Promise.resolve(bytes);
    },
  };
}
