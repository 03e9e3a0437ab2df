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
  /** For example `CUDA 12`. */
  readonly name: string;
  readonly found: boolean;
  /** What is there, or what is not. */
  readonly detail: string;
  /** The exact step that supplies it. */
  readonly remedy: string;
}

/** What releases of the provider for CUDA 12 link to: assumed as long as there is no provider to be asked. */
const usual = ['libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12', 'libcurand.so.10', 'libcufft.so.11'];

/** What was found on a machine. */
interface Facts {
  /** Name and driver of the first GPU. */
  readonly gpu: string | undefined;
  /** Names of the shared libraries that the loader finds. */
  readonly known: ReadonlySet<string>;
  readonly provider: { readonly root: string; readonly file: string; readonly found: boolean };
  /** Names of NVIDIA's libraries that the provider links to, where it is there. */
  readonly linked: readonly string[];
}

/** The pieces in the order in which they are installed. Linux x64 only: elsewhere onnxruntime-node has no CUDA provider. */
export async function cudaPieces(): Promise<readonly CudaPiece[]> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return [{ name: 'platform', found: false, detail: `${process.platform} ${process.arch}`, remedy: 'use Linux on x64: onnxruntime-node has its CUDA provider there only' }];
  }
  const provider = await providerFile();
  // "libcudart.so.12 => /usr/…/libcudart.so.12 (0x…)", or "=> not found".
  const links = [...(await output('ldd', [provider.file]) ?? '').matchAll(/^\s*(lib(?:cu|nv)\S+) => (not found)?/gm)];
  const known = await loaderLibraries();
  for (const [, name, absent] of links) if (absent === undefined) known.add(name!);
  return piecesOf({ gpu: await firstLine('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader']), known, provider, linked: links.map(([, name]) => name!) });
}

/** The pieces by what was found. The provider says itself which CUDA it was built for; versions of onnxruntime differ in that. */
export function piecesOf({ gpu, known, provider, linked }: Facts): readonly CudaPiece[] {
  // libcuda is the driver's; cuDNN has a piece of its own, whether it is linked or opened later.
  const cuda = linked.length === 0 ? usual : linked.filter((name) => !/^libcu(da|dnn)\./.test(name));
  const version = /libcudart\.so\.(\d+)/.exec(cuda.join())?.[1] ?? '12';
  const wheels = ['cuda-runtime', 'cublas', 'curand', 'cufft', 'cuda-nvrtc'].map((name) => `nvidia-${name}${version === '12' ? '-cu12' : ''}`);
  const libraries = (name: string, wanted: readonly string[], remedy: string): CudaPiece => {
    const absent = wanted.filter((library) => !known.has(library));
    return { name, found: absent.length === 0, detail: absent.length === 0 ? wanted.join(', ') : `the loader does not find ${absent.join(', ')}`, remedy };
  };
  return [
    {
      name: 'NVIDIA driver', found: gpu !== undefined || known.has('libcuda.so.1'), detail: gpu ?? (known.has('libcuda.so.1') ? 'libcuda.so.1' : 'neither nvidia-smi nor libcuda.so.1'),
      remedy: 'install NVIDIA\'s driver, release 525 or newer, for CUDA 13 580 (Debian: apt install nvidia-driver); in a container: run it with --gpus all',
    },
    {
      name: 'onnxruntime-node\'s CUDA provider', found: provider.found, detail: provider.found ? provider.file : `${provider.file} is not there: npm does not carry it`,
      remedy: `node ${join(provider.root, 'script', 'install.js')} --onnxruntime-node-install=cuda12 (downloads about 300 MB from NuGet; npm does it by itself unless install scripts are off)`,
    },
    libraries(`CUDA ${version}`, cuda, `apt install cuda-toolkit-${version} from NVIDIA's repository (or pip install ${wheels.join(' ')}, with their lib folders on LD_LIBRARY_PATH)`),
    libraries('cuDNN 9', ['libcudnn.so.9'], `apt install cudnn9-cuda-${version} from NVIDIA's repository (or pip install nvidia-cudnn-cu${version}, with its lib folder on LD_LIBRARY_PATH)`),
  ];
}

/** Where onnxruntime-node lies, and whether its CUDA provider lies with it. */
async function providerFile(): Promise<Facts['provider']> {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const file = join(root, 'bin', 'napi-v6', 'linux', 'x64', 'libonnxruntime_providers_cuda.so');
  return { root, file, found: await access(file).then(() => true, () => false) };
}

/** Names of the shared libraries that the loader finds, by its cache and LD_LIBRARY_PATH. */
async function loaderLibraries(): Promise<Set<string>> {
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
