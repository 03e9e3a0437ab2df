/**
 * Why CUDA does not run, piece by piece, with the step that supplies each: onnxruntime-node's own message names one missing
 * library at a time, if any.
 */
import { execFile } from 'node:child_process';
import { access, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** One thing that CUDA needs. */
export interface CudaPiece {
  readonly name: string;
  readonly found: boolean;
  readonly detail: string;
  /** The exact step that supplies it. */
  readonly remedy: string;
}

/** Libraries that onnxruntime's CUDA 12 provider links to, by the package that brings them. */
const libraries = {
  'CUDA 12': ['libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12', 'libcurand.so.10', 'libcufft.so.11'],
  'cuDNN 9': ['libcudnn.so.9'],
} as const;

/** The pieces in the order in which they are installed. Linux x64 only: elsewhere onnxruntime-node has no CUDA provider. */
export async function cudaPieces(): Promise<readonly CudaPiece[]> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return [{ name: 'platform', found: false, detail: `${process.platform} ${process.arch}`, remedy: 'use Linux on x64: onnxruntime-node has its CUDA provider there only' }];
  }
  const known = await loaderLibraries();
  const missing = (names: readonly string[]): string[] => names.filter((name) => !known.has(name));
  const driver = await firstLine('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader']);
  const provider = await providerFolder();
  return [
    {
      name: 'NVIDIA driver', found: driver !== undefined || known.has('libcuda.so.1'), detail: driver ?? (known.has('libcuda.so.1') ? 'libcuda.so.1' : 'neither nvidia-smi nor libcuda.so.1'),
      remedy: 'install NVIDIA\'s driver, release 525 or newer (Debian: apt install nvidia-driver); in a container: run it with --gpus all',
    },
    ...Object.entries(libraries).map(([name, wanted]) => {
      const absent = missing(wanted);
      return {
        name, found: absent.length === 0, detail: absent.length === 0 ? wanted.join(', ') : `the loader does not find ${absent.join(', ')}`,
        remedy: name === 'CUDA 12' ? 'apt install cuda-toolkit-12-9 from NVIDIA\'s repository (or pip install nvidia-cuda-runtime-cu12 nvidia-cublas-cu12 nvidia-curand-cu12 nvidia-cufft-cu12, with their lib folders on LD_LIBRARY_PATH)'
          : 'apt install cudnn9-cuda-12 from NVIDIA\'s repository (or pip install nvidia-cudnn-cu12, with its lib folder on LD_LIBRARY_PATH)',
      };
    }),
    {
      name: 'onnxruntime-node\'s CUDA provider', found: provider.found, detail: provider.detail,
      remedy: `node ${join(provider.root, 'script', 'install.js')} --onnxruntime-node-install=cuda12 (downloads about 300 MB from NuGet; npm does it by itself unless install scripts are off)`,
    },
  ];
}

/** Where onnxruntime-node lies, and whether its CUDA provider lies with it. */
async function providerFolder(): Promise<{ root: string; found: boolean; detail: string }> {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const file = join(root, 'bin', 'napi-v6', 'linux', 'x64', 'libonnxruntime_providers_cuda.so');
  const found = await access(file).then(() => true, () => false);
  return { root, found, detail: found ? file : `${file} is not there: npm does not carry it` };
}

/** Names of the shared libraries that the loader finds, by its cache and LD_LIBRARY_PATH. */
async function loaderLibraries(): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for (const command of ['ldconfig', '/sbin/ldconfig']) {
    const listing = await output(command, ['-p']);
    for (const line of listing?.split('\n') ?? []) names.add(line.trim().split(' ')[0]!);
    if (listing !== undefined) break;
  }
  for (const folder of (process.env.LD_LIBRARY_PATH ?? '').split(delimiter).filter((path) => path !== '')) {
    for (const name of await readdir(folder).catch(() => [])) names.add(name);
  }
  return names;
}

async function output(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(command, args, { timeout: 10_000, maxBuffer: 2 ** 26 })).stdout;
  } catch {
    return undefined;
  }
}

const firstLine = async (command: string, args: readonly string[]): Promise<string | undefined> => (await output(command, args))?.split('\n')[0]?.trim();
