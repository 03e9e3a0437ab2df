/**
 * A lock between processes: a file that names its owner. It counts as abandoned when its owner on this machine is gone,
 * or, for an owner elsewhere (a shared home folder), when it was not touched for a minute.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';

const touchEvery = 5_000;
const abandonedAfter = 60_000;

function tryAcquire(path) {
  try {
    const file = openSync(path, 'wx');
    writeSync(file, JSON.stringify({ pid: process.pid, host: hostname() }));
    closeSync(file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isAbandoned(path) {
  try {
    const age = Date.now() - statSync(path).mtimeMs;
    let owner;
    try {
      owner = JSON.parse(readFileSync(path, 'utf8'));
    } catch {
      return age > touchEvery; // Its owner has not come to write its name, or died before.
    }
    if (owner.host !== hostname()) return age > abandonedAfter;
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH'; // No such process. ENOENT: the lock was just released, and the next attempt gets it.
  }
}

/**
 * Runs `work` while no other process holds the lock.
 * @param {string} path the lock's file
 * @param {() => void} onWait called once when another process holds it
 * @param {() => Promise<T>} work
 * @template T
 */
export async function withLock(path, onWait, work) {
  mkdirSync(dirname(path), { recursive: true });
  let waited = false;
  while (!tryAcquire(path)) {
    if (isAbandoned(path)) {
      // Renaming succeeds for one of several that notice it.
      const grave = `${path}.${process.pid}.abandoned`;
      try {
        renameSync(path, grave);
      } catch {
        // Another process was quicker.
      }
      rmSync(grave, { force: true });
      continue;
    }
    if (!waited) onWait();
    waited = true;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  const heartbeat = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // Somebody removed it; what is written is checked by hash and appears whole in any case.
    }
  }, touchEvery);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    rmSync(path, { force: true });
  }
}
