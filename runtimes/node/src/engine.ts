/**
 * onnxruntime-node, one provider at a time: what the runtime's preferences are made of. The engine of this module runs on
 * the calling thread; remote-engine.ts puts the same behind a thread or a process.
 */
import { RuntimeError } from '@ratioflow/sdk';
import type { Capabilities, LoadOptions, Session, Tensor } from '@ratioflow/sdk';
import { messageOf } from '@ratioflow/sdk/engine';
import type { ResolvedGraph } from '@ratioflow/sdk/engine';
import { InferenceSession, env } from 'onnxruntime-node';
import { probeProvider, quieten } from './probe.js';
import type { CudaOptions, ProviderName } from './providers.js';
import { providerConfig } from './providers.js';
import { batchAxesOf, wrapSession } from './session.js';
import { slicedSession } from './split-session.js';

/** How a session is made. */
export interface EngineOptions extends LoadOptions {
  readonly cuda?: CudaOptions;
}

/** A session that knows where its graph counts samples. */
export interface EngineSession extends Session {
  /** The axis of every input that has one for the samples, which come first in every output; undefined when a batch of this graph is not the sum of its parts. */
  readonly batchAxes?: Readonly<Record<string, number>> | undefined;
  /** @param given whether nobody needs the memory of the feeds any more, which is theirs alone: it is handed on instead of copied */
  run(feeds: Readonly<Record<string, Tensor>>, outputs?: readonly string[], given?: boolean): Promise<Record<string, Tensor>>;
}

/** Loads graphs on exactly the provider that it is told. */
export interface Engine {
  /** Undefined when the provider runs here, else why not, in one line. */
  probe(provider: ProviderName, options: EngineOptions): Promise<string | undefined>;
  /** @throws {RuntimeError} when this provider does not take the graph */
  load(provider: ProviderName, graph: ResolvedGraph, options: EngineOptions): Promise<EngineSession>;
}

/** Name and version for reports. */
export const engineName = `onnxruntime-node ${env.versions.node ?? env.versions.common}`;

/** What onnxruntime-node can do on each provider. */
const capabilities: Readonly<Record<ProviderName, Capabilities>> = {
  cpu: { controlFlow: true, deviceTensors: false, lowerings: ['cpu'] },
  // Every run copies through the host, so that many steps in one graph pay.
  cuda: { controlFlow: true, deviceTensors: false },
  // Loop falls back to the CPU with copies at every step; x stays on the device instead.
  webgpu: { controlFlow: false, deviceTensors: true },
};

/**
 * A model of one Identity, x → y, of any shape: how a tensor comes back from a device. Asking the tensor itself for its data ends the
 * process (onnxruntime-node 1.30).
 */
const identity = Uint8Array.from(Buffer.from('CAgSADorChAKAXgSAXkiCElkZW50aXR5EgFnWgkKAXgSBAoCCAFiCQoBeRIECgIIAUIECgAQEg==', 'base64'));

/**
 * How an engine's threads wait for each other. A small operator takes microseconds and waking a thread costs more, so they
 * keep looking for work for a moment (measured on two cores: 1.4 times as fast for the digits network at batch 1), but no
 * longer: the engine's own second of looking makes a machine that does anything else up to 1.4 times slower, and after a run.
 */
const waiting = { 'intra_op.allow_spinning': '1', 'intra_op.spin_duration_us': '20', force_spinning_stop: '1' };

/** The engine on this thread: while it computes, nothing else runs. */
export const localEngine: Engine = {
  probe: (provider, { cuda }) => probeProvider(provider, cuda),
  load: async (provider, graph, options) => {
    quieten();
    // Of the graphs, those of one step feed an output back.
    const onDevice = capabilities[provider].deviceTensors && graph.name.startsWith('step');
    const executionProviders = [providerConfig(provider, options.cuda)];
    try {
      const session = await InferenceSession.create(graph.model, {
        executionProviders,
        ...(onDevice && { preferredOutputLocation: 'gpu-buffer' }),
        externalData: Array.from(graph.externalData, ([path, data]) => ({ path, data })),
        graphOptimizationLevel: options.optimization ?? 'all',
        // What goes wrong is thrown; warnings about initializers that an optimisation left over help nobody.
        logSeverityLevel: 4,
        // The engine would take its own format too, which nobody has looked at.
        extra: { session: { ...waiting, load_model_format: 'ONNX' } },
        ...(options.threads !== undefined && { intraOpNumThreads: options.threads }),
      });
      const reader = onDevice ? await InferenceSession.create(identity, { executionProviders, logSeverityLevel: 4 }).catch(async (cause: unknown) => {
        await session.release();
        throw cause;
      }) : undefined;
      const made: EngineSession = { ...wrapSession(graph.name, session, provider, capabilities[provider], reader), batchAxes: drawsNumbers(graph.model) ? undefined : batchAxesOf(session) };
      return graph.name.endsWith('-cpu.onnx') ? slicedSession(made) : made;
    } catch (cause) {
      throw new RuntimeError(`onnxruntime-node cannot load ${graph.name} on ${provider}: ${messageOf(cause)}`, { cause });
    }
  },
};

/** Whether the graph draws random numbers of its own: parts with the same seed would draw the same ones. */
const drawsNumbers = (model: Uint8Array): boolean => ['Random', 'Bernoulli', 'Multinomial'].some((name) => Buffer.from(model.buffer, model.byteOffset, model.byteLength).includes(name));
