/** `ratioflow doctor`: what this machine can run, and the exact step to get the rest. */
import { execFile } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { Command } from 'commander';
import type { Context } from '../context.js';
import { bytes } from '../text.js';

/** One thing that is there or not. */
interface Finding { readonly name: string; readonly ok: boolean; readonly detail: string; readonly remedy?: string }

export const doctorCommand = (context: Context): Command => new Command('doctor')
  .description('show what this machine can run, and how to get the rest')
  .action(async () => {
    const groups: [string, () => Promise<Finding[]>][] = [
      ['machine', machine], ['sampling (ONNX Runtime)', sampling], ['training (TensorFlow.js)', training], ['building TensorFlow\'s binding', tools],
    ];
    for (const [title, look] of groups) {
      context.signal.throwIfAborted();
      context.print(title);
      for (const { name, ok, detail, remedy } of await look()) {
        context.print(`  ${ok ? 'ok' : '--'}  ${name}: ${detail}`);
        if (!ok && remedy !== undefined) context.print(`      to get it: ${remedy}`);
      }
    }
  });

// eslint-disable-next-line @typescript-eslint/require-await
async function machine(): Promise<Finding[]> {
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const cores = cpus();
  return [
    { name: 'Node', ok: major > 20 || (major === 20 && minor >= 19), detail: `${process.versions.node} on ${process.platform} ${process.arch}`, remedy: 'install Node 20.19 or newer from https://nodejs.org' },
    { name: 'processor', ok: true, detail: `${cores.length} × ${cores[0]?.model.trim() ?? 'unknown'}, ${bytes(totalmem())} of memory` },
  ];
}

async function sampling(): Promise<Finding[]> {
  const { createRuntime, cudaPieces, probeProvider, providerNames, remedies } = await import('@ratioflow/node');
  const findings: Finding[] = [{ name: 'engine', ok: true, detail: createRuntime().name }];
  for (const provider of providerNames.toReversed()) {
    const problem = await probeProvider(provider);
    // What CUDA lacks is a list of its own.
    const pieces = provider === 'cuda' && problem !== undefined ? await cudaPieces() : [];
    findings.push({
      name: provider, ok: problem === undefined, detail: problem === undefined ? 'runs' : `does not run: ${problem}`,
      ...(pieces.length === 0 && { remedy: remedies[provider] }),
    });
    findings.push(...pieces.map(({ name, found, detail, remedy }) => ({ name: `cuda needs ${name}`, ok: found, detail, remedy })));
  }
  return findings;
}

async function training(): Promise<Finding[]> {
  const { describeTensorFlow } = await import('@ratioflow/trainer');
  const facts = await describeTensorFlow();
  return [
    { name: 'TensorFlow.js', ok: true, detail: facts.tfjsVersion },
    {
      name: 'TensorFlow', ok: facts.loads,
      detail: facts.loads ? `${facts.release ?? 'of unknown release'}, on the ${facts.usesGpu ? 'GPU' : 'CPU'}${facts.cuda && !facts.usesGpu ? ' (CUDA build, no GPU found)' : ''}` : `${facts.problem ?? 'does not load'}; the slower portable backend trains instead`,
      ...(facts.remedy !== undefined && { remedy: facts.remedy }),
    },
  ];
}

async function tools(): Promise<Finding[]> {
  const windows = process.platform === 'win32';
  const compilers = windows ? [['cl']] : [['c++', '--version'], ['g++', '--version'], ['clang++', '--version']];
  const pythons = windows ? [['python', '--version'], ['py', '-3', '--version']] : [['python3', '--version'], ['python', '--version']];
  const wanted: [string, string[][], string][] = [
    ['C++ compiler', compilers, windows ? 'install the Visual Studio Build Tools with the C++ workload' : process.platform === 'darwin' ? 'xcode-select --install' : 'apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora)'],
    ['Python', pythons, 'install Python 3.9 or newer from https://www.python.org or your system\'s packages'],
  ];
  return Promise.all(wanted.map(async ([name, candidates, remedy]) => {
    for (const [command, ...args] of candidates) {
      const version = await firstLine(command!, args);
      if (version !== undefined) return { name, ok: true, detail: `${version} (${command})` };
    }
    return { name, ok: false, detail: `none of ${candidates.map(([command]) => command).join(', ')} was found`, remedy };
  }));
}

async function firstLine(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, { timeout: 10_000 });
    return (stdout || stderr).split('\n')[0]!.trim();
  } catch {
    return undefined;
  }
}
