/**
 * The whole test run: type check, lint, unit tests, and suites in other languages. Called by `npm test` after set-up.
 * Prints each suite's result as it comes, and as the last line the sum over all of them:
 *   N passed, N failed, N skipped
 * Exit code 1 when anything failed. A type check or lint counts as one test; a suite that crashed as one failed test.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const plain = Boolean(process.env.CI) || process.env.NO_COLOR !== undefined;
const environment = { ...process.env };
if (plain) {
  environment.NO_COLOR = '1';
  delete environment.FORCE_COLOR;
}

/**
 * @typedef {{passed: number, failed: number, skipped: number, notes?: string[]}} Result
 * @typedef {object} Suite
 * @property {string} name
 * @property {string} [folder] the suite exists only where this folder does
 * @property {() => string | undefined} [cannotRun] the reason why it is skipped here
 * @property {() => Promise<Result>} run
 */

/** Runs a program with its output shown. Resolves to its exit code; a signal counts as failure. */
function show(program, argumentList) {
  return new Promise((resolve) => {
    const child = spawn(program, argumentList, { cwd: root, env: environment, stdio: 'inherit' });
    child.on('error', (error) => {
      console.error(String(error));
      resolve(1);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

const tool = (path) => join(root, 'node_modules', ...path.split('/'));

/** One or more commands of Node that pass when all exit with 0; counted as one test. */
async function check(...commands) {
  for (const [script, ...argumentList] of commands) {
    if ((await show(process.execPath, [tool(script), ...argumentList])) !== 0) return { passed: 0, failed: 1, skipped: 0 };
  }
  return { passed: 1, failed: 0, skipped: 0 };
}

async function typeCheck() {
  const pretty = ['--pretty', String(!plain)];
  return check(['typescript/lib/tsc.js', '-b', ...pretty], ['typescript/lib/tsc.js', '-p', 'tsconfig.test.json', ...pretty]);
}

async function unitTests() {
  const folder = mkdtempSync(join(tmpdir(), 'ratioflow-tests-'));
  try {
    const report = join(folder, 'vitest.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const code = await show(process.execPath, [tool('vitest/vitest.mjs'), 'run', ...reporters]);
    if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0, notes: ['vitest ended without a report'] };
    return countVitest(JSON.parse(readFileSync(report, 'utf8')), code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Sums vitest's JSON report. A file that did not load holds no failed test, yet it is a failure. */
function countVitest(report, exitCode) {
  const result = { passed: 0, failed: 0, skipped: 0, notes: [] };
  for (const file of report.testResults) {
    let failedHere = 0;
    for (const { status } of file.assertionResults) {
      if (status === 'passed') result.passed++;
      else if (status === 'failed') failedHere++;
      else result.skipped++;
    }
    if (file.status === 'failed' && failedHere === 0) {
      failedHere = 1;
      result.notes.push(`${relative(root, file.name)} did not run: ${file.message?.split('\n')[0] ?? 'unknown reason'}`);
    }
    result.failed += failedHere;
  }
  if (exitCode !== 0 && result.failed === 0) {
    result.failed = 1;
    result.notes.push(`vitest ended with exit code ${exitCode} although no test failed`);
  }
  if (result.passed + result.failed === 0) {
    result.failed = 1;
    result.notes.push('no test ran');
  }
  return result;
}

/** Every suite, in the order in which they run. Suites in other languages are added here, with `folder` and `cannotRun`. */
const suites = /** @type {Suite[]} */ ([
  { name: 'type check', run: typeCheck },
  { name: 'lint', run: () => check(['eslint/bin/eslint.js', '.', plain ? '--no-color' : '--color']) },
  { name: 'unit tests', run: unitTests },
]);

const total = { passed: 0, failed: 0, skipped: 0 };
const lines = [];
for (const suite of suites) {
  if (suite.folder && !existsSync(join(root, suite.folder))) continue;
  console.log(`\n── ${suite.name}`);
  const reason = suite.cannotRun?.();
  let result;
  try {
    result = reason === undefined ? await suite.run() : { passed: 0, failed: 0, skipped: 1, notes: [`skipped: ${reason}`] };
  } catch (error) {
    result = { passed: 0, failed: 1, skipped: 0, notes: [String(error)] };
  }
  for (const key of Object.keys(total)) total[key] += result[key];
  lines.push(`${suite.name}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`);
  lines.push(...(result.notes ?? []).map((note) => `  ${note}`));
}
console.log(`\n${lines.join('\n')}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
