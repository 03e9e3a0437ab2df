/**
 * Installs TensorFlow's native binding into node_modules, from a cache that all clones share:
 * pinned wheel → library in the cache → compiled binding in the cache → copy in node_modules → trial in a child process.
 */
import { rmSync } from 'node:fs';
import { installBinding, isBindingInstalled, missingForBinding, planBinding, provideBinding, removeBinding } from './binding.mjs';
import { isLibraryPresent, libraryFolder, missingForLibrary, provideLibrary } from './library.mjs';
import { releaseFor, releaseName } from './releases.mjs';
import { SetupProblem, cacheFolder, run } from './tools.mjs';

/**
 * Makes the native binding present, or removes it for the flavour `portable`. Does nothing, in milliseconds, when all
 * is as it should be.
 * @param {object} options
 * @param {string} options.from the trainer's folder; its dependencies must be installed
 * @param {'cpu' | 'cuda' | 'portable'} options.flavour
 * @param {(line: string) => void} options.log
 * @returns {Promise<{changed: boolean, description: string}>}
 * @throws {SetupProblem} what is missing and how to get it; nothing half-installed is left
 */
export async function installTensorFlow({ from, flavour, log }) {
  const cache = cacheFolder();
  if (flavour === 'portable') {
    removeBinding(planBinding(from, cache, ''));
    return { changed: false, description: 'portable backend (asked for)' };
  }
  const release = releaseFor(process.platform, process.arch, flavour);
  if (!release) {
    throw new SetupProblem(
      `no TensorFlow library is known for ${process.platform} on ${process.arch}${flavour === 'cuda' ? ' with CUDA' : ''}`,
      'nothing needs to be done for small networks; native TensorFlow runs on Linux, x64 or arm64 (CUDA: x64)',
    );
  }
  const name = releaseName(release);
  const plan = planBinding(from, cache, libraryFolder(cache, release));
  if (isBindingInstalled(plan)) return { changed: false, description: name };
  try {
    checkLibc();
    await checkTools(cache, release, plan);
    await provideLibrary(cache, release, log);
    const compiled = await provideBinding(cache, plan, log);
    installBinding(plan, release, name);
    let failure = await tryBinding(from);
    if (failure && !compiled) {
      // A cached binding of another machine (a shared home folder) may not fit this one: compile it here, once.
      rmSync(plan.cached, { force: true });
      await provideBinding(cache, plan, log);
      installBinding(plan, release, name);
      failure = await tryBinding(from);
    }
    if (failure) throw new SetupProblem(`TensorFlow does not run here: ${failure}`, `if its files in ${cache} are damaged, remove that folder and run this again`);
  } catch (error) {
    removeBinding(plan);
    if (error instanceof SetupProblem) throw error;
    throw new SetupProblem(`TensorFlow could not be installed: ${error.message}`, `the cache is ${cache}; set RATIOFLOW_CACHE to use another folder`);
  }
  return { changed: true, description: name };
}

/** TensorFlow's wheels need glibc: Alpine's musl cannot load them. */
function checkLibc() {
  process.report.excludeNetwork = true; // Otherwise the report may look up host names.
  if (process.report.getReport().header.glibcVersionRuntime) return;
  throw new SetupProblem('this system has no glibc (Alpine?), which TensorFlow needs', 'use a distribution with glibc, such as Debian');
}

/** All that is missing at once, and before a long download. */
async function checkTools(cache, release, plan) {
  const library = isLibraryPresent(cache, release) ? undefined : await missingForLibrary();
  const missing = [library, missingForBinding(plan)].filter(Boolean);
  if (missing.length === 0) return;
  const list = (manager) => missing.map(({ packages }) => packages[manager]).join(' ');
  throw new SetupProblem(
    `TensorFlow cannot be set up, for want of ${missing.map(({ what }) => what).join('; and ')}`,
    `install it and run this again (Debian, Ubuntu: apt install ${list('apt')}; Fedora: dnf install ${list('dnf')})`,
  );
}

const trial = `
const [util, tf] = [require('node:util'), require('@tensorflow/tfjs')];
util.isNullOrUndefined ??= (value) => value == null;
require('@tensorflow/tfjs-node-gpu');
const product = tf.matMul([[1, 2], [3, 4]], [[5], [6]]).dataSync();
if (product[0] !== 17 || product[1] !== 39) throw new Error('a matrix product came out wrong: ' + product);
`;

/** Multiplies two matrices in a child process, which a library may crash. Returns the reason when that fails. */
async function tryBinding(from) {
  const { code, signal, stderr } = await run(process.execPath, ['--input-type=commonjs', '-e', trial], {
    cwd: from,
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' },
  });
  if (code === 0) return undefined;
  if (signal === 'SIGILL') return 'this processor lacks instructions (AVX) that TensorFlow is compiled for';
  if (signal) return `loading it ended with ${signal}`;
  return stderr.split('\n').find((line) => /^\w*Error: /.test(line)) ?? stderr.trim().split('\n').at(-1);
}
