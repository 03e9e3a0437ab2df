/**
 * Everything between a fresh clone and code that runs: dependencies, TensorFlow's native binding, the build. Only
 * Node's own modules, because node_modules may be absent. What is done is not done again: a second run takes well under
 * a second. See docs/setup.md.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { spawn } from 'node:child_process';
import { installTensorFlow } from './trainer/native/install.mjs';
import { withLock } from './trainer/native/lock.mjs';
import { SetupProblem, readJson, writeWhole } from './trainer/native/tools.mjs';

const root = import.meta.dirname;
const packages = ['sdk', 'export', 'runtimes/node', 'runtimes/web', 'trainer', 'runtimes/cli'];
/** Makes of runtimes/web/dist the files for a page without a bundler. */
const bundler = 'runtimes/web/scripts/bundle.mjs';
const bundled = 'runtimes/web/dist/bundled/ratioflow.js';
const stateFile = join(root, 'node_modules', '.ratioflow', 'setup.json');
const help = `node setup.mjs [option]
  installs the dependencies, TensorFlow's native library, and builds the packages; a second run does nothing
  --cuda      TensorFlow's CUDA build, for NVIDIA GPUs (about 3 GB)
  --cpu       TensorFlow's CPU build (274 MB), the default
  --portable  no TensorFlow: the slower portable backend, nothing to compile
  The choice is remembered in node_modules.`;

const log = (line) => console.error(`setup: ${line}`);

function parseFlavour(options) {
  let flavour;
  for (const option of options) {
    if (option === '--help' || option === '-h') {
      console.log(help);
      process.exit(0);
    }
    if (!['--cuda', '--cpu', '--portable'].includes(option)) {
      throw new SetupProblem(`unknown option ${option}`, '"node setup.mjs --help" lists the options');
    }
    flavour = option.slice(2);
  }
  return flavour;
}

/** Runs a script under this very Node, its output shown. Resolves to the exit code. */
function runNode(argumentList, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argumentList, { cwd: root, env, stdio: ['ignore', 2, 2] });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(signal ? 1 : code));
  });
}

// ---- Dependencies

/** Whether node_modules holds what package-lock.json says: npm keeps its own list of what it installed. */
function dependenciesMatch() {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages ?? {};
  const installed = readJson(join(root, 'node_modules', '.package-lock.json'))?.packages;
  if (!installed) return false;
  const same = (a, b) => a.version === b.version && a.integrity === b.integrity;
  for (const [path, entry] of Object.entries(wanted)) {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) continue; // the root, the workspaces
    const found = installed[path];
    // npm leaves out optional packages for other platforms.
    if (found ? !same(found, entry) : !entry.optional) return false;
  }
  return Object.keys(installed).every((path) => path in wanted);
}

/** The npm that runs this script, the one that came with this Node, or the one on the PATH. */
function npmScript() {
  const bin = dirname(process.execPath);
  const candidates = [
    process.env.npm_execpath,
    join(bin, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    join(bin, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ...(process.env.PATH ?? '').split(process.platform === 'win32' ? ';' : ':').flatMap((folder) => [
      join(folder, '..', 'lib', 'node_modules', 'npm', 'bin', 'npm-cli.js'),
      join(folder, 'node_modules', 'npm', 'bin', 'npm-cli.js'),
    ]),
  ];
  return candidates.find((path) => path && /npm-cli\.js$/.test(path) && existsSync(path));
}

async function installDependencies() {
  if (dependenciesMatch()) return false;
  const npm = npmScript();
  if (!npm) throw new SetupProblem('npm was not found', 'install it, or call this as "npm run setup"');
  log('installing the dependencies (npm ci)');
  // A calling npm passes its options down in the environment; those that would change what is installed are not for us.
  const foreign = /^npm_config_(workspaces?|include|omit|only|production|dry_run|global|location|prefix|package_lock|loglevel)$/i;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
  // No install scripts, on npm 10 as on npm 11: those of tfjs-node-gpu and onnxruntime-node download from elsewhere.
  const code = await runNode([npm, 'ci', '--ignore-scripts', '--include=dev', '--no-audit', '--no-fund'], env);
  if (code === 0 && dependenciesMatch()) return true;
  throw new SetupProblem(
    code === 0 ? 'npm ci left node_modules different from package-lock.json' : `npm ci failed (exit code ${code})`,
    "npm's message above says why; the first set-up needs the npm registry",
  );
}

// ---- TensorFlow

async function provideTensorFlow(asked, remembered) {
  const flavour = asked ?? remembered ?? 'cpu';
  try {
    const { changed, description } = await installTensorFlow({ from: join(root, 'trainer'), flavour, log });
    if (changed) log(`TensorFlow is ready: ${description}`);
    if (changed && flavour === 'cpu' && process.arch === 'x64' && existsSync('/dev/nvidia0')) {
      log('an NVIDIA GPU is here: "node setup.mjs --cuda" installs the build of TensorFlow that uses it');
    }
  } catch (error) {
    if (!(error instanceof SetupProblem)) throw error;
    log(`${error.message}.`);
    log(`  What to do: ${error.remedy}.`);
    log('  Going on with the slower portable backend; everything else works ("--portable" makes that the choice).');
  }
  return flavour;
}

// ---- Build

/** Every file that tsc -b reads, with its contents, as one hash. */
function hashSources() {
  const hash = createHash('sha256');
  const add = (path) => hash.update(`${relative(root, path)}\0`).update(readFileSync(path)).update('\0');
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (/\.ts$/.test(entry.name) && !/\.test\.ts$/.test(entry.name)) add(path);
    }
  };
  for (const file of ['tsconfig.json', 'tsconfig.base.json', 'package-lock.json', bundler]) add(join(root, file));
  for (const name of packages) {
    for (const file of ['package.json', 'tsconfig.json']) add(join(root, name, file));
    walk(join(root, name, 'src'));
  }
  return hash.digest('hex');
}

/** When tsc last wrote each package: a build that somebody else ran in between must not go unnoticed. */
function buildTimes() {
  return packages.map((name) => {
    const info = statSync(join(root, name, 'dist', '.tsbuildinfo'), { throwIfNoEntry: false });
    return info && existsSync(join(root, name, 'dist', 'index.js')) ? info.mtimeMs : 0;
  });
}

/** Removes what an earlier build made of sources that are gone: tsc does not, and it would go into the packages. */
function removeLeftovers() {
  for (const name of packages) {
    const dist = join(root, name, 'dist');
    if (!existsSync(dist)) continue;
    for (const file of readdirSync(dist, { recursive: true })) {
      const source = file.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
      if (source !== file && !file.startsWith('bundled') && !existsSync(join(root, name, 'src', source))) rmSync(join(dist, file));
    }
  }
}

async function build(state) {
  const sources = hashSources();
  const unchanged = (times) => times.every((time, i) => time !== 0 && time === state?.buildTimes?.[i]);
  if (state?.sources === sources && unchanged(buildTimes()) && existsSync(join(root, bundled))) return { sources, buildTimes: state.buildTimes };
  log('building the packages');
  removeLeftovers();
  // tsc trusts its own record even when its output was deleted.
  const force = buildTimes().includes(0) ? ['--force'] : [];
  const code = await runNode([join(root, 'node_modules', 'typescript', 'lib', 'tsc.js'), '-b', ...force]) || await runNode([join(root, bundler)]);
  if (code !== 0) throw new SetupProblem('the packages do not build', 'the errors above name file and line');
  return { sources, buildTimes: buildTimes() };
}

function remember(state) {
  const text = `${JSON.stringify(state)}\n`;
  if (!existsSync(stateFile) || readFileSync(stateFile, 'utf8') !== text) writeWhole(stateFile, text);
}

async function main() {
  const asked = parseFlavour(process.argv.slice(2));
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupProblem(`Node ${process.versions.node} is too old`, 'install Node 20.19 or newer');
  }
  const lock = join(tmpdir(), `ratioflow-${createHash('sha256').update(root).digest('hex').slice(0, 16)}.lock`);
  await withLock(lock, () => log('another set-up of this folder is running; waiting for it'), async () => {
    const before = readJson(stateFile);
    const installed = await installDependencies();
    const flavour = await provideTensorFlow(asked, before?.flavour);
    remember({ ...before, flavour });
    remember({ flavour, ...(await build(installed ? undefined : before)) });
  });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupProblem)) throw error;
  log(`${error.message}.`);
  log(`  What to do: ${error.remedy}.`);
  process.exitCode = 1;
}
