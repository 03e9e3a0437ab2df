/**
 * What a platform must offer so that the SDK can run a bundle on it: load an ONNX graph, run it, dispose of it.
 * One implementation per engine (`runtimes/*`); the SDK itself names no platform.
 */

import type { Lowering } from './manifest.js';

/** Element storage of a tensor at the boundary between JavaScript and an engine. */
export type TensorData = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

/** A dense array in C order. The typed array decides the element type. */
export interface Tensor {
  /** Extent of every axis; `[]` for a scalar. */
  readonly shape: readonly number[];
  /** Exactly `product(shape)` elements. */
  readonly data: TensorData;
}

/** A tensor of float32 elements: samples, noise, ratios. */
export interface FloatTensor extends Tensor {
  readonly data: Float32Array;
}

/** A float32 tensor that stays on an engine's device. Whoever received it disposes of it. */
export interface DeviceTensor {
  /** Extent of every axis. */
  readonly shape: readonly number[];
  /** Copies it to the host; the tensor stays. */
  read(): Promise<Float32Array>;
  /** Frees the device's memory. Idempotent. */
  dispose(): void;
}

/** A graph to load: the serialized ModelProto and the bytes of every external file that it names. */
export interface GraphSource {
  /** File name inside the bundle, for messages. */
  readonly name: string;
  /** The serialized ModelProto. */
  readonly model: Uint8Array;
  /**
   * The bytes of an external file by the location written in the graph, for example `weights.bin`; rejects for a location
   * that is not allowed. `resolveExternalData` of `@ratioflow/sdk/engine` finds what a graph needs.
   */
  readonly externalData?: (location: string) => Promise<Uint8Array>;
  /**
   * What a session of this graph gets wrong, undefined when all is well. A runtime asks it of every session it makes, and
   * takes the next provider after a verdict; `load` throws a RuntimeError when there is none left.
   */
  readonly check?: (session: Session) => Promise<string | undefined>;
}

/** What an engine can do; the sampler chooses its execution plan from this, never from a name. */
export interface Capabilities {
  /** `Loop` runs on the provider itself, without falling back and copying. */
  readonly controlFlow: boolean;
  /** Outputs can stay on the device and be fed to the next run: the session has `runOnDevice`. */
  readonly deviceTensors: boolean;
  /** Kinds of engines for which a bundle may have graphs of its own, best first: with `['wasm', 'cpu']`, sampling takes `sampler-wasm.onnx` where there is one, else `sampler-cpu.onnx`. */
  readonly lowerings?: readonly Lowering[];
}

/** A graph that is ready to run. Whoever loaded it disposes of it. */
export interface Session {
  /** The execution provider that really runs the graph, for example `cpu`. */
  readonly provider: string;
  /** What the sampler chooses its plan by. */
  readonly capabilities: Capabilities;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs the graph once. Inputs are read only during the call and never kept; outputs belong to the caller.
   * @param outputs names of the outputs wanted; all when absent
   */
  run(feeds: Readonly<Record<string, Tensor>>, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /**
   * Runs the graph for one output that stays on the device. May resolve before the device is done, a few runs ahead of it.
   * Device tensors among the feeds are this session's own, stay as they are and may be disposed of as soon as it resolves.
   */
  runOnDevice?(feeds: Readonly<Record<string, Tensor | DeviceTensor>>, output: string): Promise<DeviceTensor>;
  /** Frees the engine's memory. Idempotent. */
  dispose(): Promise<void>;
}

/** Options of one `load`. */
export interface LoadOptions {
  /** Threads inside one operator. @default the engine's choice */
  readonly threads?: number;
  /** Graph optimisation. @default 'all' */
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
}

/** An inference engine on a platform. */
export interface Runtime {
  /** For reports, for example `onnxruntime-node 1.30.0`. */
  readonly name: string;
  /** Sentences about what was asked for and is not so, for example that CUDA is absent and the CPU runs instead. */
  readonly warnings: readonly string[];
  /** Makes a session on the first provider that runs the graph. @throws {RuntimeError} when none does */
  load(graph: GraphSource, options?: LoadOptions): Promise<Session>;
}
