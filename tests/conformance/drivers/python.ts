/** Engines with a Python interface, all behind python_driver.py, which shares nothing with the SDK but the noise's specification. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Driver } from '../driver.js';
import { runProgram } from './program.js';

const candidates = [process.env['RATIOFLOW_PYTHON'], 'python3'].filter((command) => command !== undefined);
const script = fileURLToPath(new URL('../python_driver.py', import.meta.url));

function pythonDriver(name: string, engine: string, packages: string): Driver {
  const find = (): string | undefined => candidates.find((command) => spawnSync(command, ['-c', `import ${packages}`]).status === 0);
  return {
    name, tolerance: 'cpu',
    absent: () => Promise.resolve(find() === undefined ? `no Python that can import ${packages} (set RATIOFLOW_PYTHON)` : undefined),
    run: (folder, jobs) => runProgram(find()!, [script, engine], folder, jobs),
  };
}

export const pythonDrivers: readonly Driver[] = [
  pythonDriver('python-cpu', 'onnxruntime', 'numpy, onnxruntime'),
  pythonDriver('openvino', 'openvino', 'numpy, openvino'),
  pythonDriver('tract', 'tract', 'numpy, onnx, tract'),
  pythonDriver('onnx reference evaluator', 'reference', 'numpy, onnx'),
];
