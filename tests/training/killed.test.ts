/** Runs in processes of their own: killed at random moments, interrupted, and with a disk that takes no more. */
import { spawn, spawnSync } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

// Every test starts processes, a second or two each where nothing else runs.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const script = fileURLToPath(new URL('run-sources.mjs', import.meta.url));
const last = 60;
const longest = 500;

let folder: string;
let config: string;
let whole: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-killed-'));
  config = join(folder, 'tiny.yaml');
  await writeFile(config, `
name: tiny
seed: 5
data: { name: swiss-roll }
estimator: { name: mlp }
prior: gaussian
flow: { K: 2, eta: 0.5, nu: 0.02 }
training: { iterations: ${last}, batch: 8, learningRate: 1.0e-3, ema: 0.9 }
checkpoints: { every: 2, keep: 2 }
previews: { every: 0 }
`);
  whole = join(folder, 'whole');
  expect((await start(whole)).code).toBe(0);
});
afterAll(() => rm(folder, { recursive: true }));

interface Ending { readonly code: number | null; readonly lines: readonly string[] }

/** Runs to the end, or until `stop` sends a signal; `shell` wraps the command. */
function start(out: string, stop?: { after: number; delay: number; signal: 'SIGKILL' | 'SIGINT' }, overrides: readonly string[] = [], limit = ''): Promise<Ending> {
  const child = spawn('bash', ['-c', `${limit} exec "$0" "$@"`, process.execPath, script, config, out, ...overrides], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  let armed = stop !== undefined;
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
    if (armed && text.split('iteration ').length > stop!.after) {
      armed = false;
      setTimeout(() => child.kill(stop!.signal), stop!.delay);
    }
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, lines: text.trim().split('\n') }));
  });
}

const checkpoints = async (out: string): Promise<string[]> => (await readdir(join(out, 'checkpoints'))).sort();
const final = (out: string, iteration = last): Promise<Buffer> => readFile(join(out, 'checkpoints', `${String(iteration).padStart(8, '0')}.safetensors`));
const metrics = async (out: string): Promise<string[][]> => (await readFile(join(out, 'metrics.csv'), 'utf8')).trim().split('\n').map((line) => line.split(',').slice(0, 5));

describe('a killed run', () => {
  it('ends bit for bit the same after twenty kills at random moments', async () => {
    const [unharmed, out] = [join(folder, 'unharmed'), join(folder, 'killed')];
    // Long enough for all the kills to come before the end.
    const long = [`training.iterations=${longest}`];
    expect((await start(unharmed, undefined, long)).code).toBe(0);
    for (let kill = 0; kill < 20; kill++) {
      // Late enough that there is a checkpoint to go on from; then at any moment, writing included.
      const { lines } = await start(out, { after: 3 + Math.floor(Math.random() * 12), delay: Math.random() * 15, signal: 'SIGKILL' }, long);
      expect(lines).not.toContain('done');
      // Whatever the moment: every file under its final name is whole.
      for (const name of await checkpoints(out)) {
        if (name.startsWith('.')) continue;
        const bytes = await readFile(join(out, 'checkpoints', name));
        const length = Number(bytes.readBigUInt64LE(0));
        const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, { data_offsets: [number, number] }>;
        const end = Math.max(...Object.entries(header).flatMap(([key, { data_offsets: offsets }]) => (key === '__metadata__' ? [] : offsets[1])));
        expect(bytes.length).toBe(8 + length + end);
      }
    }
    const { code, lines } = await start(out, undefined, long);
    expect(lines.at(-1)).toBe('done');
    expect(code).toBe(0);
    expect(await final(out, longest)).toEqual(await final(unharmed, longest));
    expect(await metrics(out)).toEqual(await metrics(unharmed));
    // No temporary files stay.
    expect(await checkpoints(out)).toEqual(await checkpoints(unharmed));
  });
});

describe('Ctrl-C', () => {
  it('writes a checkpoint of the last iteration, and the run goes on from there', async () => {
    const out = join(folder, 'interrupted');
    const { code, lines } = await start(out, { after: 7, delay: 0, signal: 'SIGINT' });
    expect(code).toBe(1);
    expect(lines.at(-1)).toBe('error Error: interrupted');
    const iteration = lines.filter((line) => line.startsWith('iteration ')).length;
    expect(lines.at(-2)).toContain(`Stopped after iteration ${iteration}; a checkpoint was written.`);
    expect((await checkpoints(out)).at(-1)).toBe(`${String(iteration).padStart(8, '0')}.safetensors`);
    expect((await start(out)).lines).toContain(`message Going on after iteration ${iteration} of ${last}.`);
    expect(await final(out)).toEqual(await final(whole));
  });
});

describe('a terminal that is closed', () => {
  const command = fileURLToPath(new URL('command-sources.mjs', import.meta.url));
  const hasTerminals = spawnSync('script', ['--version']).status === 0;
  if (!hasTerminals) console.log('skip: no `script` (util-linux), which makes terminals: closing one is not tried');
  it.skipIf(!hasTerminals)('ends the command line with a checkpoint', async () => {
    const out = join(folder, 'hung-up');
    const train = `exec '${process.execPath}' '${command}' train '${config}' --out '${out}' --set training.iterations=1000000 --set checkpoints.every=1000000`;
    const terminal = spawn('script', ['-qc', train, '/dev/null'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const files = (): Promise<string[]> => readdir(out).catch(() => []);
    await vi.waitUntil(async () => (await files()).includes('tensorboard'), { timeout: 60_000 });
    setTimeout(() => terminal.kill('SIGKILL'), 1000);
    await vi.waitUntil(async () => !(await files()).includes('run.lock'), { timeout: 60_000 });
    expect(await checkpoints(out)).toEqual([expect.stringMatching(/^\d{8}\.safetensors$/)]);
  });
});

describe('a disk that takes no more', () => {
  const begun = async (name: string): Promise<string> => {
    const out = join(folder, name);
    await start(out, undefined, ['training.iterations=10']);
    return out;
  };

  it('ends with an error that names the file; the old checkpoint stays, and the run can go on', async () => {
    const out = await begun('limited');
    const before = await checkpoints(out);
    const kept = join(folder, 'kept');
    await cp(join(out, 'checkpoints'), kept, { recursive: true });
    // No file may grow beyond 64 blocks of 1 KiB; a checkpoint has 200 KiB.
    const { code, lines } = await start(out, undefined, [`training.iterations=${last}`], 'ulimit -f 64;');
    expect(code).toBe(1);
    expect(lines.at(-1)).toMatch(/^error RatioflowError: .*00000012\.safetensors cannot be written: it is larger than the system allows/);
    expect(await checkpoints(out)).toEqual(before);
    for (const name of before) expect(await readFile(join(out, 'checkpoints', name))).toEqual(await readFile(join(kept, name)));
    expect((await start(out, undefined, [`training.iterations=${last}`])).code).toBe(0);
    expect(await final(out)).toEqual(await final(whole));
    expect(await metrics(out)).toEqual(await metrics(whole));
  });

  const mayMount = spawnSync('unshare', ['--mount', '--map-root-user', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt']).status === 0;
  if (!mayMount) console.log('skip: this user may not mount a small file system: a full disk is tested by a limit on file sizes only');
  it.skipIf(!mayMount)('and says that the disk is full', () => {
    const run = (inside: string): string[] => {
      const args = [script, config, '/mnt/run', 'checkpoints.keep=9', `training.iterations=${last}`];
      const child = spawnSync('unshare', ['--mount', '--map-root-user', 'bash', '-c', inside, process.execPath, ...args]);
      return child.stdout.toString().trim().split('\n');
    };
    // Before it begins, where not all checkpoints would fit.
    expect(run('mount -t tmpfs -o size=700k tmpfs /mnt; "$0" "$@"').at(-1)).toMatch(/^error ConfigError: .*the disk has .* MB left\. Make room/);
    // Two checkpoints, then somebody else takes all but 300 kB: another of 207 kB fits, no more.
    const fill = 'head -c $(($(df --output=avail -k /mnt | tail -1) - 300))K /dev/zero > /mnt/fill';
    const lines = run(`mount -t tmpfs -o size=8m tmpfs /mnt; "$0" "$1" "$2" "$3" training.iterations=4 > /dev/null; ${fill}; "$0" "$@"; ls -A /mnt/run/checkpoints`);
    expect(lines.at(-4)).toMatch(/^error RatioflowError: .*00000008\.safetensors cannot be written: the disk is full/);
    expect(lines.slice(-3)).toEqual(['00000002.safetensors', '00000004.safetensors', '00000006.safetensors']);
  });
});
