/** What a bundle is made of, checked before anything long is done: from code nobody else has looked at it. */
import { ArgumentError, BundleError, formatVersion, graphFiles, parseManifest } from '@ratioflow/sdk';
import type { Manifest, Runtime } from '@ratioflow/sdk';
import { accept, argument } from '@ratioflow/sdk/engine';

/** @throws {ArgumentError} for a field of the manifest that its readers would refuse */
export function checkDescription(described: Omit<Manifest, 'formatVersion' | 'files' | 'verification'>): void {
  // Those who read manifests say what may stand in one; the files are not made yet.
  const files = Object.fromEntries(Object.values(graphFiles).map((name) => [name, { size: 0, sha256: '0'.repeat(64) }]));
  try {
    // JSON has no NaN and no infinities: their names are no numbers either.
    const text = JSON.stringify({ ...described, formatVersion, files, verification: [] }, (_, value: unknown) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value));
    parseManifest(new TextEncoder().encode(text));
  } catch (cause) {
    throw cause instanceof BundleError ? new ArgumentError(cause.message.replace('manifest.json: ', ''), { cause }) : cause;
  }
}

/** @throws {ArgumentError} where it is no runtime */
export function checkReference(reference: Runtime): void {
  argument('reference', reference, accept((value) => typeof (value as Partial<Runtime> | null | undefined)?.load === 'function', 'a runtime, for example createRuntime() of @ratioflow/node'));
}
