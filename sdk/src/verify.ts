/**
 * Does this runtime compute what the bundle's author computed? Runs every verification vector and compares.
 */
import type { Bundle, SelfTest } from './bundle.js';
import { RuntimeError, messageOf } from './errors.js';
import { runSession } from './graphs.js';
import type { Graphs } from './graphs.js';
import type { GraphName, VerificationVector } from './manifest.js';
import { decodeNpy } from './npy.js';
import type { FloatTensor, Runtime, Tensor } from './runtime.js';
import { checkTensor, showShape } from './tensor.js';

/** One output of one vector. */
export interface Check {
  /** What ran. */
  readonly graph: GraphName;
  /** Name of the output that was compared. */
  readonly output: string;
  /** The execution provider that ran it; empty where none did. */
  readonly provider: string;
  /** Largest |actual − expected|; NaN when there is nothing to compare, or a NaN in it. */
  readonly error: number;
  /** Largest error allowed: absolute + relative · max|expected|. */
  readonly allowed: number;
  /** The error is no larger than allowed. */
  readonly passed: boolean;
  /** Why there was nothing to compare. */
  readonly message?: string;
}

/** What `Model.verify` found. */
export interface Verification {
  /** The execution provider that really ran, the first where several did. */
  readonly provider: string;
  /** Engine and version. */
  readonly runtime: string;
  /** Every check passed, and there was at least one. */
  readonly passed: boolean;
  /** One for each output of the bundle's vectors. */
  readonly checks: readonly Check[];
  /** The runtime's. */
  readonly warnings: readonly string[];
}

/** `Model.verify`. */
export async function verify(bundle: Bundle, runtime: Runtime, graphs: Graphs): Promise<Verification> {
  const checks: Check[] = [];
  for (const vector of bundle.manifest.verification) {
    try {
      checks.push(...await checkVector(bundle, vector, (await graphs.session(vector.graph)).provider, (feeds, shapes) => graphs.run(vector.graph, feeds, shapes)));
    } catch (cause) {
      // A damaged bundle, or a model that has been disposed of, is no finding about the runtime.
      if (!(cause instanceof RuntimeError)) throw cause;
      checks.push(...Object.keys(vector.outputs).map((output) => ({ graph: vector.graph, output, provider: '', error: NaN, allowed: 0, passed: false, message: messageOf(cause) })));
    }
  }
  return { provider: checks[0]?.provider ?? '', runtime: runtime.name, passed: checks.length > 0 && checks.every((check) => check.passed), checks, warnings: [...runtime.warnings] };
}

/** Runs the vectors of one graph on a session that has just been made of it. */
export const selfTest: SelfTest = async (bundle, graph, session) => {
  for (const vector of bundle.manifest.verification.filter((other) => other.graph === graph)) {
    for (const { output, error, allowed, passed } of await checkVector(bundle, vector, session.provider, (feeds, shapes) => runSession(graph, session, feeds, shapes))) {
      if (!passed) return `${output} is off by ${error.toExponential(1)}, allowed ${allowed.toExponential(1)}`;
    }
  }
  return undefined;
};

type Run = (feeds: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<string, readonly number[]>>) => Promise<Record<string, FloatTensor>>;

async function checkVector(bundle: Pick<Bundle, 'manifest' | 'read'>, { graph, inputs, outputs, tolerance: own }: VerificationVector, provider: string, run: Run): Promise<Check[]> {
  const { tolerances } = bundle.manifest;
  const tolerance = own ?? tolerances[provider] ?? tolerances.default!;
  const tensors = async (files: Readonly<Record<string, string>>): Promise<Record<string, Tensor>> =>
    Object.fromEntries(await Promise.all(Object.entries(files).map(async ([name, file]) => [name, decodeNpy(await bundle.read(file), file)] as const)));
  const expected = await tensors(outputs);
  const actual = await run(await tensors(inputs), Object.fromEntries(Object.entries(expected).map(([name, tensor]) => [name, tensor.shape])));
  return Object.entries(expected).map(([output, tensor]) => {
    const wanted = graph === 'generator' ? tensor.data as Uint8Array : checkTensor(`${outputs[output]} (${showShape(tensor.shape)})`, tensor, tensor.shape).data;
    const got = actual[output]!.data;
    let error = 0;
    let largest = 0;
    for (let i = 0; i < wanted.length; i++) {
      // A NaN stays.
      error = Math.max(error, Math.abs(got[i]! - wanted[i]!));
      largest = Math.max(largest, Math.abs(wanted[i]!));
    }
    const allowed = tolerance.absolute + tolerance.relative * largest;
    return { graph, output, provider, error, allowed, passed: error <= allowed };
  });
}
