import { describe, expect, it } from 'vitest';
import { piecesOf } from './cuda-check.js';

const provider = { root: '/engine', file: '/engine/libonnxruntime_providers_cuda.so', found: true };
/** What readelf shows of the providers in the wheels of onnxruntime-gpu 1.26.0 and 1.30.0. */
const linked = {
  12: ['libcublasLt.so.12', 'libcublas.so.12', 'libcurand.so.10', 'libcufft.so.11', 'libcudart.so.12', 'libcudnn.so.9'],
  13: ['libcublasLt.so.13', 'libcublas.so.13', 'libcurand.so.10', 'libcudart.so.13', 'libcuda.so.1'],
};
const told = (facts: Partial<Parameters<typeof piecesOf>[0]>): string[] =>
  piecesOf({ gpu: undefined, known: new Set(), provider, linked: [], ...facts }).map(({ name, found, detail }) => `${found ? 'ok' : '--'} ${name}: ${detail}`);

describe('piecesOf', () => {
  it('names all that is missing where nothing is there, for CUDA 12', () => {
    expect(told({ provider: { ...provider, found: false } })).toEqual([
      '-- NVIDIA driver: neither nvidia-smi nor libcuda.so.1',
      '-- onnxruntime-node\'s CUDA provider: /engine/libonnxruntime_providers_cuda.so is not there: npm does not carry it',
      '-- CUDA 12: the loader does not find libcudart.so.12, libcublas.so.12, libcublasLt.so.12, libcurand.so.10, libcufft.so.11',
      '-- cuDNN 9: the loader does not find libcudnn.so.9',
    ]);
  });

  it('finds nothing missing where all that the provider links to is there', () => {
    expect(told({ gpu: 'H200, 570.1', known: new Set(linked[12]), linked: linked[12] }).filter((line) => !line.startsWith('ok'))).toEqual([]);
  });

  it('wants the CUDA that the provider was built for, whatever else is installed', () => {
    const facts = { gpu: 'H200, 580.1', known: new Set([...linked[12], 'libcuda.so.1']), linked: linked[13] };
    expect(told(facts).filter((line) => !line.startsWith('ok'))).toEqual(['-- CUDA 13: the loader does not find libcublasLt.so.13, libcublas.so.13, libcudart.so.13']);
    const [, , cuda, cudnn] = piecesOf({ provider, ...facts });
    expect(cuda!.remedy).toMatch(/^apt install cuda-toolkit-13 .*pip install nvidia-cuda-runtime nvidia-cublas /);
    expect(cudnn!.remedy).toMatch(/^apt install cudnn9-cuda-13 .*nvidia-cudnn-cu13,/);
  });
});
