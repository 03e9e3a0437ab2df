/** `--set` on the command line: what is refused, and how. */
import { expect, it } from 'vitest';
import { ratioflow } from './testing/run-command.js';

it.each([
  [['train', 'x.yaml', '--set', 'flow.K=5', 'flow.eta=2'], 'flow.eta=2'],
  [['train', '--resume', 'runs/x', '--set', 'flow.K=5', 'flow.eta=2'], 'flow.eta=2'],
  [['train', 'x.yaml', 'y.yaml'], 'y.yaml'],
  [['plan', 'x.yaml', '--set', 'flow.K=5', 'flow.eta=2'], 'flow.eta=2'],
])('%j names what stands alone, and how changes are given', async (args, stray) => {
  const { code, out, err } = await ratioflow(args);
  expect([code, out]).toEqual([2, '']);
  expect(err).toContain(`error: nothing takes the argument ${stray}: give one configuration, and each change as a --set key=value of its own`);
});

it('a configuration whose path has an equals sign is one', async () => {
  const { code, err } = await ratioflow(['plan', 'lr=0.1.yaml', '--set', 'flow.K=5']);
  expect(code).toBe(1);
  expect(err).toContain('The configuration lr=0.1.yaml cannot be read');
});
