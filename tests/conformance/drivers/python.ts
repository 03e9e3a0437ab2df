/** Engines with a Python interface, all behind python_driver.py, which shares nothing with the SDK but the noise's specification. */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readNpy } from '@ratioflow/node';
import type { Driver } from '../driver.js';

const candidates = [process.env['RATIOFLOW_PYTHON'], 'python3'].filter((command) => command !== undefined);
const script = fileURLToPath(new URL('../python_driver.py', import.meta.url));

function pythonDriver(name: string, engine: string, packages: string): Driver {
  const find = (): string | undefined => candidates.find((command) => spawnSync(command, ['-c', `import ${packages}`]).status === 0);
  return {
    name, tolerance: 'cpu',
    absent: () => Promise.resolve(find() === undefined ? `no Python that can import ${packages} (set RATIOFLOW_PYTHON)` : undefined),
    run: async (folder, jobs) => {
      const out = await mkdtemp(join(tmpdir(), 'ratioflow-python-'));
      try {
        await writeFile(join(out, 'jobs.json'), JSON.stringify(jobs));
        await promisify(execFile)(find()!, [script, engine, folder, out], { timeout: 120_000 });
        const { engine: version } = JSON.parse(await readFile(join(out, 'engine.json'), 'utf8')) as { engine: string };
        const array = async (file: string): Promise<Float32Array> => (await readNpy(join(out, file))).data as Float32Array;
        const outcomes = await Promise.all(jobs.map(async (_, i) => ({ samples: await array(`${i}.samples.npy`), noise: await array(`${i}.noise.npy`), provider: 'cpu' })));
        return { engine: version, outcomes };
      } finally {
        await rm(out, { recursive: true });
      }
    },
  };
}

export const pythonDrivers: readonly Driver[] = [
  pythonDriver('python-cpu', 'onnxruntime', 'numpy, onnxruntime'),
  pythonDriver('openvino', 'openvino', 'numpy, openvino'),
  pythonDriver('tract', 'tract', 'numpy, onnx, tract'),
  pythonDriver('onnx reference evaluator', 'reference', 'numpy, onnx'),
];
