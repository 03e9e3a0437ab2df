/** Fetching a wheel through pip's settings: from a folder that pip is told to look into, so without network. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../trainer/native/wheel.py', import.meta.url));
const hasPip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;
if (!hasPip) console.log('skip: no python3 with pip: fetching a wheel is not tested');

const folder = mkdtempSync(join(tmpdir(), 'ratioflow-wheel-'));
const name = 'ratioflow_trial-1.0-cp312-cp312-manylinux_2_27_x86_64.whl';
const wheel = join(folder, 'index', name);
const target = join(folder, 'cache', name);
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

function python(...argumentList: string[]): { code: number | null; reason: string; log: string } {
  const env = { ...process.env, PIP_NO_INDEX: '1', PIP_FIND_LINKS: join(folder, 'index') };
  const { status, stdout, stderr } = spawnSync('python3', [script, ...argumentList], { encoding: 'utf8', env });
  return { code: status, reason: stdout.trim(), log: stderr };
}
const fetchWheel = (hash = sha256(wheel), requirement = 'ratioflow-trial==1.0', path = target): ReturnType<typeof python> =>
  python('fetch', path, requirement, 'manylinux_2_27_x86_64', '312', hash, String(readFileSync(wheel).length));

beforeAll(() => {
  mkdirSync(join(folder, 'index'));
  mkdirSync(join(folder, 'cache'));
  if (!hasPip) return;
  // A wheel is a zip with its metadata; two megabytes, so that half of it is a believable unfinished download.
  const make = `
import os, zipfile
with zipfile.ZipFile(${JSON.stringify(wheel)}, "w") as archive:
    info = "ratioflow_trial-1.0.dist-info/"
    archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: ratioflow-trial\\nVersion: 1.0\\n")
    archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: cp312-cp312-manylinux_2_27_x86_64\\n")
    archive.writestr(info + "RECORD", "")
    archive.writestr("trial/library.so", os.urandom(2_000_000))
    archive.writestr("trial/other.txt", "not needed")
`;
  expect(spawnSync('python3', ['-c', make]).status).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!hasPip)('wheel.py', () => {
  it('fetches the wheel that is pinned, even for another Python version', () => {
    expect(fetchWheel()).toMatchObject({ code: 0 });
    expect(sha256(target)).toBe(sha256(wheel));
  });

  it('fetches again what is corrupt', () => {
    writeFileSync(target, 'half a wheel');
    const { code, log } = fetchWheel();
    expect(code).toBe(0);
    expect(log).toContain('corrupt');
    expect(sha256(target)).toBe(sha256(wheel));
  });

  it('starts again when an unfinished download turns out corrupt', () => {
    rmSync(target);
    writeFileSync(`${target}.part`, Buffer.alloc(readFileSync(wheel).length));
    const { code, log } = fetchWheel();
    expect(code).toBe(0);
    expect(log).toContain('starts again');
    expect(sha256(target)).toBe(sha256(wheel));
  });

  it('refuses another wheel than the pinned one, and keeps nothing of it', () => {
    rmSync(target, { force: true });
    const { code, reason } = fetchWheel('0'.repeat(64));
    expect(code).toBe(1);
    expect(reason).toContain(`${'0'.repeat(64)} is pinned`);
    expect(existsSync(target) || existsSync(`${target}.part`)).toBe(false);
  });

  it('gives the reason in one line when there is no such wheel', () => {
    const { code, reason } = fetchWheel(sha256(wheel), 'ratioflow-absent==1.0', target.replace('trial', 'absent'));
    expect(code).toBe(1);
    expect(reason).toContain('ratioflow-absent');
    expect(reason).not.toContain('\n');
  });

  it('unpacks only what is asked for', () => {
    const unpacked = join(folder, 'unpacked');
    expect(python('unpack', wheel, unpacked, 'trial/library')).toMatchObject({ code: 0 });
    expect(readFileSync(join(unpacked, 'trial', 'library.so')).length).toBe(2_000_000);
    expect(existsSync(join(unpacked, 'trial', 'other.txt'))).toBe(false);
  });
});
