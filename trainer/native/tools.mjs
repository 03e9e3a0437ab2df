/**
 * What the set-up's parts share: its cache folder, child processes, programs on the PATH, and files that appear whole.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** Something that a person has to do, or nothing that can be done: what is wrong, and what to do next. */
export class SetupProblem extends Error {
  /** @param {string} reason @param {string} remedy */
  constructor(reason, remedy) {
    super(reason);
    this.name = 'SetupProblem';
    this.remedy = remedy;
  }
}

/** Folder of downloads and compiled things, shared between clones. */
export function cacheFolder(environment = process.env) {
  if (environment.RATIOFLOW_CACHE) return environment.RATIOFLOW_CACHE;
  return join(environment.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ratioflow');
}

/** First of the names that is an executable on the PATH, without running anything. */
export function findProgram(...names) {
  for (const name of names.filter(Boolean)) {
    for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

/**
 * Runs a program and waits. Standard output is captured; standard error too, unless `show` lets it through.
 * @returns {Promise<{code: number | null, signal: string | null, stdout: string, stderr: string}>}
 */
export function run(program, argumentList, { cwd, env = process.env, show = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, argumentList, { cwd, env, stdio: ['ignore', 'pipe', show ? 'inherit' : 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (text) => (stdout += text));
    child.stderr?.on('data', (text) => (stderr += text));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Writes a file so that it is there whole or not at all. */
export function writeWhole(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, content);
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** The parsed JSON file, or undefined when it is missing or broken. */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
