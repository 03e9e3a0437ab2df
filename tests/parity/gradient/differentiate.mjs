/**
 * Differentiates many models in one process, for the Python scripts beside this file.
 * Usage: node differentiate.mjs jobs.json → writes a gradient model per job and results.json beside the jobs.
 * A job: { model, out, of?, wrt?, seed? }; a result: { ok } or { error, kind }.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const { gradient, readModel, writeModel } = await import(process.env.RATIOFLOW_EXPORT ?? '../../../export/dist/index.js');

const [jobsFile] = process.argv.slice(2);
const jobs = JSON.parse(readFileSync(jobsFile, 'utf8'));
const results = jobs.map((job) => {
  const begin = performance.now();
  try {
    const model = gradient(readModel(readFileSync(job.model)), { of: job.of, wrt: job.wrt, seed: job.seed });
    writeFileSync(job.out, writeModel(model));
    return { ok: true, seconds: (performance.now() - begin) / 1000 };
  } catch (error) {
    return { ok: false, kind: error.name, error: error.message, ...(process.env.RATIOFLOW_STACK && { stack: error.stack }) };
  }
});
writeFileSync(join(dirname(jobsFile), 'results.json'), JSON.stringify(results));
