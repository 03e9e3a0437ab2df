/**
 * What really runs here. A provider that onnxruntime-node lists may still lack its library, its driver or its device,
 * and then the engine may fall back to the CPU without a word: only a run with fallback forbidden tells.
 */
import { messageOf } from '@ratioflow/sdk/engine';
import { InferenceSession, Tensor, env, listSupportedBackends } from 'onnxruntime-node';
import type { CudaOptions, ProviderName } from './providers.js';
import { providerConfig } from './providers.js';

/** y = x · x, one float: a model of opset 18. */
const square = Buffer.from('CAgSADo1Cg4KAXgKAXgSAXkiA011bBIBcFoPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEBI=', 'base64');

/** Undefined when the provider runs, else why not, in one line. */
export async function probeProvider(provider: ProviderName, cuda?: CudaOptions): Promise<string | undefined> {
  if (!listSupportedBackends().some(({ name }) => name === provider)) return 'this build of onnxruntime-node does not have it';
  quieten();
  try {
    const session = await InferenceSession.create(square, {
      executionProviders: [providerConfig(provider, cuda)], logSeverityLevel: 4,
      ...(provider !== 'cpu' && { extra: { session: { disable_cpu_ep_fallback: '1' } } }),
    });
    try {
      const { y } = await session.run({ x: new Tensor('float32', Float32Array.of(3), [1]) });
      const value = (y as Tensor).data[0];
      return value === 9 ? undefined : `it computes 3 · 3 = ${String(value)}`;
    } finally {
      await session.release();
    }
  } catch (cause) {
    return firstSentence(messageOf(cause));
  }
}

/** What goes wrong comes back as an error; the engine need not print it as well. Counts before the first session only. */
export function quieten(): void {
  if (env.logLevel === 'warning') env.logLevel = 'fatal';
}

/** Engine messages carry source locations and ANSI colours; people want what went wrong. */
function firstSentence(message: string): string {
   
  const plain = message.replaceAll(/\u001b\[[0-9;]*m/g, '').split('\n').map((line) => line.trim()).find((line) => line !== '') ?? 'no reason given';
  const text = plain.replace(/^\S+\/\S+\.(cc|h):\d+ .*? was false\. /, '');
  return text.length > 200 ? `${text.slice(0, 197)}...` : text;
}
