/** A bundle that was never written, opened through the SDK. */
import { BundleError, openBundle, type Model, type Runtime } from '@ratioflow/sdk';

export function memoryModel(files: ReadonlyMap<string, Uint8Array>, runtime: Runtime): Promise<Model> {
  const read = (name: string): Promise<Uint8Array> => {
    const bytes = files.get(name);
    return bytes ? Promise.resolve(bytes) : Promise.reject(new BundleError(`The bundle in memory has no ${name}.`));
  };
  return openBundle({ location: 'memory', read }, runtime);
}
