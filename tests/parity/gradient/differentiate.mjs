/**
 * Differentiates many models in one process, for the Python scripts beside this file.
 * Usage: node differentiate.mjs jobs.json → writes a gradient model per job and results.json beside the jobs.
 * A job: { model, out, of?, wrt?, seed?, zeros? }; a result: { ok, seconds, rss } or { error, kind }; rss: by how many MB
 * the process has grown at its peak since before the first job.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const { gradient, readModel, writeModel } = await import(process.env.RATIOFLOW_EXPORT ?? '../../../export/dist/index.js');

const [jobsFile] = process.argv.slice(2);
const jobs = JSON.parse(readFileSync(jobsFile, 'utf8'));
// Not resourceUsage(): a child begins with its parent's peak there. Where there is no /proc, nothing is said.
const peak = () => {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1000;
  } catch {
    return null;
  }
};
const before = peak();
const results = jobs.map((job) => {
  const begin = performance.now();
  try {
    const model = gradient(readModel(readFileSync(job.model)), { of: job.of, wrt: job.wrt, seed: job.seed, zeros: job.zeros });
    writeFileSync(job.out, writeModel(model));
    return { ok: true, seconds: (performance.now() - begin) / 1000, rss: before === null ? null : peak() - before };
  } catch (error) {
    return { ok: false, kind: error.name, error: error.message, ...(process.env.RATIOFLOW_STACK && { stack: error.stack }) };
  }
});
writeFileSync(join(dirname(jobsFile), 'results.json'), JSON.stringify(results));
