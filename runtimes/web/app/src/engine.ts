/** Opens bundles on the provider that the user chose, or that suits the bundle. */
import type { Model } from '@ratioflow/sdk';
import { open } from '@ratioflow/web';
import type { Download, ProviderName } from '@ratioflow/web';
import type { Entry } from './library.js';
import type { ProviderChoice } from './settings.js';

/** Elements of a sample below which a graphics processor waits for its orders most of the time. */
const smallSample = 64;

/** Providers in order of preference. */
export async function providersFor(choice: ProviderChoice, { bundle }: Entry): Promise<readonly ProviderName[]> {
  if (choice !== 'auto') return choice === 'wasm' ? ['wasm'] : ['webgpu', 'wasm'];
  const elements = await elementsOf(bundle);
  return elements >= smallSample && await hasGraphics() ? ['webgpu', 'wasm'] : ['wasm'];
}

/** Elements of a sample by the manifest, before anybody has checked it; 0 when it cannot be read: opening will say why. */
async function elementsOf(bundle: Entry['bundle']): Promise<number> {
  try {
    const read = async (address: string): Promise<Response> => {
      const file = new URL(address, location.href);
      file.pathname = file.pathname.replace(/\/*$/, '/manifest.json');
      return fetch(file);
    };
    const manifest: unknown = await (typeof bundle === 'string' ? await read(bundle) : new Response(bundle.get('manifest.json'))).json();
    return (manifest as { sampleShape: number[] }).sampleShape.reduce((a, b) => a * b, 1);
  } catch {
    return 0;
  }
}

/** Whether WebGPU runs on a real graphics processor: in software, WebAssembly is faster. */
async function hasGraphics(): Promise<boolean> {
  const adapter = await (navigator as { readonly gpu?: GPU }).gpu?.requestAdapter().catch(() => null);
  return adapter !== undefined && adapter !== null && !adapter.info.isFallbackAdapter;
}

export async function openEntry(entry: Entry, choice: ProviderChoice, signal: AbortSignal, onProgress: (download: Download) => void): Promise<Model> {
  return open(entry.bundle, { providers: await providersFor(choice, entry), signal, onProgress });
}
