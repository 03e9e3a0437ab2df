/**
 * What can be said about TensorFlow on this machine, for `ratioflow doctor`. Loads the binding in a child process: a
 * library that crashes (an old CPU, a broken driver) must not take the asking process with it.
 */
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { nativeRemedy } from './load-tensorflow.js';
import { bindingFile, isNativeInstalled, readNativeRecord } from './native.js';

/** Facts about the backends of TensorFlow.js here. */
export interface TensorFlowFacts {
  /** Version of the npm packages `@tensorflow/tfjs*`. */
  readonly tfjsVersion: string;
  /** Name and version of the TensorFlow wheel that set-up installed, if it did. */
  readonly release: string | undefined;
  /** Whether that wheel can use an NVIDIA GPU. */
  readonly cuda: boolean;
  /** Where the compiled binding is looked for (undefined without tfjs-node-gpu, which is optional), and whether it is there. */
  readonly binding: string | undefined;
  readonly bindingPresent: boolean;
  /** Whether a child process could load it and multiply two matrices. */
  readonly loads: boolean;
  /** Whether TensorFlow chose a GPU. */
  readonly usesGpu: boolean;
  /** Why the native backend does not load, in one line. */
  readonly problem: string | undefined;
  /** What to do about it. */
  readonly remedy: string | undefined;
}

/** Looks at the installation and tries it; takes about a second. Never throws. */
export async function describeTensorFlow(): Promise<TensorFlowFacts> {
  const require = createRequire(import.meta.url);
  const record = readNativeRecord();
  const [binding, bindingPresent] = [bindingFile(), isNativeInstalled()];
  const missing = binding === undefined ? 'the package @tensorflow/tfjs-node-gpu is not installed' : 'its native binding is not installed';
  const trial = bindingPresent ? await tryInChild() : { problem: missing };
  return {
    tfjsVersion: (require('@tensorflow/tfjs/package.json') as { version: string }).version,
    release: record?.release,
    cuda: record?.cuda === true,
    binding,
    bindingPresent,
    loads: trial.problem === undefined,
    usesGpu: trial.gpu === true,
    problem: trial.problem,
    remedy: trial.problem === undefined ? undefined : nativeRemedy,
  };
}

const script = `
const [tf, util] = [require('@tensorflow/tfjs'), require('node:util')];
util.isNullOrUndefined ??= (value) => value == null;
require('@tensorflow/tfjs-node-gpu');
const product = tf.matMul([[1, 2], [3, 4]], [[5], [6]]).dataSync();
if (product[0] !== 17 || product[1] !== 39) throw new Error('a matrix product came out wrong: ' + product);
console.log(tf.backend().isUsingGpuDevice === true ? 'gpu' : 'cpu');
`;

async function tryInChild(): Promise<{ problem?: string; gpu?: boolean }> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=commonjs', '-e', script], {
      cwd: import.meta.dirname, // from where the packages are found
      env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' },
      timeout: 120_000,
    });
    return { gpu: stdout.trim().endsWith('gpu') };
  } catch (error) {
    return { problem: explainFailure(error as { stderr?: string; signal?: string | null; message: string }) };
  }
}

/** The one line of a failed child that tells a person something. */
export function explainFailure(failure: { stderr?: string; signal?: string | null; message: string }): string {
  if (failure.signal === 'SIGILL') return 'this processor lacks instructions (AVX) that TensorFlow is compiled for';
  if (failure.signal) return `loading it ended with ${failure.signal}`;
  const line = failure.stderr?.split('\n').find((text) => /^\w*Error: /.test(text));
  return line ?? failure.message.split('\n')[0] ?? 'it does not load';
}
