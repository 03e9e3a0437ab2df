/**
 * tfjs-node-gpu's native binding: compiles the package's own two C++ files against TensorFlow's C library. N-API's
 * headers come from the package node-api-headers, so neither node-gyp nor a download of Node's headers is needed; N-API
 * is stable, so one binary serves every Node version.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { withLock } from './lock.mjs';
import { SetupProblem, findProgram, readJson, run, writeWhole } from './tools.mjs';

const quietSource = join(import.meta.dirname, 'quiet.cc');
const sources = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'];
const flags = ['-std=c++17', '-O2', '-shared', '-fPIC', '-DNAPI_VERSION=8', '-w'];

/**
 * @typedef {object} BindingPlan
 * @property {string} key everything that the compiled file depends on, hashed
 * @property {string} cached where the compiled file is kept
 * @property {string} installed where tfjs-node-gpu looks for it
 * @property {string} libraries folder of TensorFlow's libraries
 * @property {string} packageFolder
 * @property {string} headers N-API's headers
 */

/** @param {string} from folder of the package whose dependencies count @returns {BindingPlan} */
export function planBinding(from, cache, libraries) {
  const packageFolder = folderOf('@tensorflow/tfjs-node-gpu', from);
  const headersPackage = folderOf('node-api-headers', from);
  const ingredients = [
    libraries, process.platform, process.arch, flags.join(' '), readFileSync(quietSource, 'utf8'),
    ...[packageFolder, headersPackage].map((folder) => readJson(join(folder, 'package.json'))?.version),
  ];
  const key = createHash('sha256').update(JSON.stringify(ingredients)).digest('hex').slice(0, 16);
  return {
    key, libraries, packageFolder,
    cached: join(cache, 'bindings', key, 'tfjs_binding.node'),
    installed: join(packageFolder, 'lib', 'napi-v8', 'tfjs_binding.node'),
    headers: join(headersPackage, 'include'),
  };
}

/** Where a package is installed, as seen from another one. @throws {SetupProblem} when it is not */
function folderOf(name, from) {
  try {
    return dirname(createRequire(join(from, 'package.json')).resolve(`${name}/package.json`));
  } catch {
    throw new SetupProblem(`the package ${name} is not installed`, 'npm removes optional packages whose own installer fails: install with "npm install --ignore-scripts"');
  }
}

const findCompiler = () => findProgram(process.env.CXX, 'c++', 'g++', 'clang++');

/** What keeps the binding from being compiled here, or undefined. */
export function missingForBinding(plan) {
  if (existsSync(plan.cached) || findCompiler()) return undefined;
  return { what: "a C++ compiler, which compiles TensorFlow.js's native binding", packages: { apt: 'g++', dnf: 'gcc-c++' } };
}

/** Compiles the binding into the cache unless it is there. Returns whether it compiled. */
export async function provideBinding(cache, plan, log) {
  if (existsSync(plan.cached)) return false;
  const compiler = findCompiler();
  const wait = () => log('another set-up is compiling the binding; waiting for it');
  return withLock(join(cache, 'locks', `${plan.key}.lock`), wait, async () => {
    if (existsSync(plan.cached)) return false;
    log("compiling TensorFlow.js's native binding");
    const folder = join(cache, 'bindings', plan.key);
    mkdirSync(folder, { recursive: true });
    const output = join(folder, 'unfinished.node');
    const { code, stdout, stderr } = await run(compiler, commandLine(plan, output));
    if (code === 0) {
      renameSync(output, plan.cached);
      return true;
    }
    const report = join(folder, 'compiler.log');
    writeWhole(report, stdout + stderr);
    const first = stderr.split('\n').find((line) => /error|cannot find/i.test(line)) ?? `exit code ${code}`;
    throw new SetupProblem(`${compiler} could not compile the binding: ${first}`, `see ${report}; g++ 9 or clang 10 or newer is needed`);
  });
}

function commandLine(plan, output) {
  return [
    ...flags, '-I', plan.headers, '-I', join(plan.libraries, 'include'), '-I', plan.packageFolder,
    ...sources.map((file) => join(plan.packageFolder, file)), quietSource, '-o', output,
    join(plan.libraries, 'libtensorflow_cc.so.2'), join(plan.libraries, 'libtensorflow_framework.so.2'),
    '-Xlinker', '-rpath', '-Xlinker', plan.libraries, '-Wl,-z,initfirst', // initfirst: see quiet.cc
  ];
}

/** Puts the compiled binding and a record of it where tfjs-node-gpu and the trainer look. */
export function installBinding(plan, release, name) {
  mkdirSync(join(plan.installed, '..'), { recursive: true });
  const temporary = `${plan.installed}.${process.pid}.tmp`;
  copyFileSync(plan.cached, temporary);
  renameSync(temporary, plan.installed);
  const record = { key: plan.key, release: name, cuda: release.cuda, libraries: plan.libraries };
  writeWhole(`${plan.installed}.json`, `${JSON.stringify(record, null, 2)}\n`);
}

/** Whether exactly this binding is installed, and the library that it needs still there. */
export function isBindingInstalled(plan) {
  return (
    readJson(`${plan.installed}.json`)?.key === plan.key &&
    existsSync(plan.installed) && existsSync(join(plan.libraries, 'libtensorflow_cc.so.2'))
  );
}

/** Takes an installed binding away; the cache stays. */
export function removeBinding(plan) {
  rmSync(plan.installed, { force: true });
  rmSync(`${plan.installed}.json`, { force: true });
}
