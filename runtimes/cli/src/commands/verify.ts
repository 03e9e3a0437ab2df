/** `ratioflow verify`: does every engine here compute what the bundle's author computed? */
import { Command } from 'commander';
import type { Check } from '@ratioflow/sdk';
import type { ProviderName } from '@ratioflow/node';
import type { Context } from '../context.js';
import { integerFrom, providerList } from '../parsers.js';

interface Options { readonly provider?: ProviderName[]; readonly threads?: number }

export const verifyCommand = (context: Context): Command => new Command('verify')
  .description('run a bundle\'s verification vectors on each provider of this machine; exit code 1 when one of them fails')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .option('--provider <list>', 'only these: cuda, webgpu, cpu, separated by commas; one that does not run is then a failure (default: all that run here)', providerList)
  .option('--threads <n>', 'threads of the engine (default: all cores)', integerFrom(1))
  .action((bundle: string, options: Options) => run(bundle, options, context));

async function run(bundle: string, { provider: wanted, threads }: Options, context: Context): Promise<void> {
  const { openBundle } = await import('@ratioflow/sdk');
  const { bundleSource, createRuntime, probeProvider, providerNames } = await import('@ratioflow/node');
  for (const provider of wanted ?? providerNames.toReversed()) {
    context.signal.throwIfAborted();
    const problem = await probeProvider(provider);
    if (problem !== undefined) {
      context.print(`${provider}: does not run here (${problem.replace(/\.$/, '')}); \`ratioflow doctor\` says how to get it`);
      if (wanted !== undefined) context.fail();
      continue;
    }
    const model = await openBundle(await bundleSource(bundle), createRuntime({ providers: [provider], ...(threads !== undefined && { threads }) }), { selfTest: false });
    const result = await model.verify().finally(() => model.dispose());
    // What another provider computed says nothing about this one.
    const checks = result.checks.map((check) => (check.provider === provider || !check.passed ? check : { ...check, passed: false, message: `ran on ${check.provider}, since ${provider} does not run it` }));
    const passed = result.passed && checks.every((check) => check.passed);
    for (const warning of result.warnings) context.note(`warning: ${warning}`);
    context.print(`${provider}: ${checks.length === 0 ? 'the bundle has no verification vectors' : passed ? 'passed' : 'FAILED'} (${result.runtime}; ${summary(checks)})`);
    for (const line of lines(checks)) context.print(line);
    if (!passed) context.fail();
  }
}

/** Which graphs are right, which are wrong. */
function summary(checks: readonly Check[]): string {
  const wrong = new Set(checks.filter(({ passed }) => !passed).map(({ graph }) => graph));
  const right = new Set(checks.map(({ graph }) => graph).filter((graph) => !wrong.has(graph)));
  return [[...right], [...wrong]].map((names, i) => (names.length === 0 ? '' : `${['right', 'wrong'][i]!}: ${names.join(', ')}`)).filter((part) => part !== '').join('; ') || 'nothing to run';
}

function lines(checks: readonly Check[]): string[] {
  const names = checks.map(({ graph, output }) => `${graph}.${output}`);
  const width = Math.max(0, ...names.map((name) => name.length));
  return checks.map(({ error, allowed, passed, message }, i) =>
    `  ${passed ? 'ok    ' : 'FAILED'}  ${names[i]!.padEnd(width)}  ${message ?? `largest error ${error.toExponential(1)}, allowed ${allowed.toExponential(1)}`}`);
}
