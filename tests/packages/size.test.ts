/**
 * What an application's visitors download: each entry bundled, minified and compressed as builds do it. The limits are
 * promises of the documentation; the figures are printed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'rolldown';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

/** Bytes after minification and gzip of all that the entries bring along, shared pieces once. */
async function gzipped(entries: readonly string[], external: RegExp): Promise<number> {
  const { output } = await build({
    input: entries.map((entry) => join(root, entry)), external: (id) => external.test(id), write: false, logLevel: 'silent', output: { format: 'es', minify: true },
  });
  return output.reduce((bytes, part) => bytes + gzipSync(part.type === 'chunk' ? part.code : part.source, { level: 9 }).byteLength, 0);
}

describe('minified and gzipped', () => {
  it.each([
    ['@ratioflow/sdk', 12_000, ['sdk/src/index.ts'], /^$/],
    // The page's part and the worker's; the SDK counts above.
    ['@ratioflow/web without onnxruntime-web', 8_000, ['runtimes/web/src/index.ts', 'runtimes/web/src/worker.ts'], /^(onnxruntime-web|@ratioflow\/sdk)(\/|$)/],
  ] as const)('%s takes at most %d bytes', { timeout: 60_000 }, async (name, limit, entries, external) => {
    const bytes = await gzipped(entries, external);
    console.log(`${name}: ${bytes} bytes minified and gzipped, limit ${limit}`);
    expect(bytes).toBeGreaterThan(limit / 2);
    expect(bytes).toBeLessThanOrEqual(limit);
  });

  it('the documentation names the same limits', () => {
    expect(readFileSync(join(root, 'docs/sdk.md'), 'utf8')).toContain('at most 12 kB minified and gzipped');
    expect(readFileSync(join(root, 'docs/web.md'), 'utf8')).toContain('at most 8 kB minified and gzipped');
  });
});
