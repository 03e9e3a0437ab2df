/** Training holds memory flat: tensors exactly, resident size within a few MB over 500 iterations, each in a process of its own. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';

// Seconds, but of all cores: other work may stretch them.
vi.setConfig({ testTimeout: 300_000 });

interface Measure { readonly tensors: number; readonly resident: number }

it.each(['mlp', 'mlp-tfjs', 'convolution'])('%s', (name) => {
  const child = spawnSync(process.execPath, ['--expose-gc', fileURLToPath(new URL('memory.mjs', import.meta.url)), name]);
  expect(child.stderr.toString()).toBe('');
  const { before, after } = JSON.parse(child.stdout.toString()) as { before: Measure; after: Measure };
  const growth = (after.resident - before.resident) / 2 ** 20;
  console.log(`${name}: ${before.tensors} tensors, ${(before.resident / 2 ** 20).toFixed(0)} MiB resident, ${growth.toFixed(1)} MiB more after 500 iterations`);
  expect(after.tensors).toBe(before.tensors);
  // The noise of every iteration would be 32 MiB, the sessions of the convolution more; the collector's mood is a few.
  expect(growth).toBeLessThan(16);
});
