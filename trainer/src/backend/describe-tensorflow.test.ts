import { describe, expect, it, vi } from 'vitest';
import { describeTensorFlow, explainFailure } from './describe-tensorflow.js';
import { packageFolder } from './tensorflow.js';

vi.mock(import('./tensorflow.js'), async (original) => {
  const real = await original();
  return { ...real, packageFolder: vi.fn(real.packageFolder) };
});

describe('describeTensorFlow', () => {
  it('gives facts that hang together', async () => {
    const facts = await describeTensorFlow();
    expect(facts.tfjsVersion).toMatch(/^4\.\d+\.\d+$/);
    expect(facts.binding).toMatch(/tfjs_binding\.node$/);
    if (!facts.bindingPresent) expect(facts.loads).toBe(false);
    // Exactly one of: it loads, or a problem with its remedy.
    expect(facts.problem === undefined).toBe(facts.loads);
    expect(facts.remedy === undefined).toBe(facts.loads);
  });

  it('says that the optional package is not there, as where npm has taken it away again', async () => {
    vi.mocked(packageFolder).mockImplementation((name) => {
      throw new Error(`Cannot find module '${name}/package.json'`);
    });
    try {
      expect(await describeTensorFlow()).toMatchObject({ binding: undefined, bindingPresent: false, release: undefined, loads: false, problem: 'the package @tensorflow/tfjs-node-gpu is not installed', remedy: expect.stringContaining('run "') as string });
    } finally {
      vi.mocked(packageFolder).mockReset();
    }
  });
});

describe('explainFailure', () => {
  it('picks the line that explains', () => {
    const stderr = 'node:internal\n    throw err;\n\nError: libtensorflow_cc.so.2: cannot open shared object file\n    at Module';
    expect(explainFailure({ stderr, message: 'Command failed' })).toBe('Error: libtensorflow_cc.so.2: cannot open shared object file');
  });
  it('names the processor when an instruction is unknown to it', () => {
    expect(explainFailure({ stderr: '', signal: 'SIGILL', message: 'Command failed' })).toContain('AVX');
  });
  it('falls back on the message', () => {
    expect(explainFailure({ stderr: 'nothing of use', message: 'spawn ENOMEM\nmore' })).toBe('spawn ENOMEM');
  });
});
