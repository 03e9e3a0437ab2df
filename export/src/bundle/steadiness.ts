/**
 * Where rounding does not decide. In a network of millions of units some lie so near a kink that two orders of one sum put them on either side
 * (measured: that moves resnet32's gradient by up to a hundredth). A deviation of x by little more than rounding shows where, a few times over;
 * engines may differ by so many times as much.
 */
import { fillNormals, purposes, type GraphName, type Tensor, type Tolerance } from '@ratioflow/sdk';
import { largest, scalar, withGraph, type Evaluate, type Subject, type Tensors } from './run-graph.js';

const nudge = 1e-6;
const nudges = 3;
const margin = 4;
/** Beyond the steps of the noise whose numbers are inputs of verification vectors. */
const firstStep = 1_000_000;

/** For each sample, by how many times what the tolerance allows a nudge of its x moves what the graph makes of it. */
async function answers(evaluate: Evaluate, inputs: Tensors, at: 'x' | 'x0', { absolute, relative }: Tolerance): Promise<number[]> {
  const x = inputs[at]!;
  const count = x.shape[0]!;
  const length = x.data.length / count;
  const { outputs: expected } = await evaluate(inputs);
  const most = new Array<number>(count).fill(0);
  for (let which = 0; which < nudges; which++) {
    const deviation = new Float32Array(x.data.length);
    fillNormals(deviation, { seed: 0n, purpose: purposes.testVectors, step: firstStep + which }, { count, elements: length });
    const { outputs } = await evaluate({ ...inputs, [at]: { shape: x.shape, data: (x.data as Float32Array).map((value, i) => value + nudge * deviation[i]!) } });
    for (const [name, { data }] of Object.entries(expected) as [string, { data: Float32Array }][]) {
      const [found, allowed, each] = [outputs[name]!.data as Float32Array, absolute + relative * largest({ data }), data.length / count];
      for (let i = 0; i < data.length; i++) most[Math.floor(i / each)] = Math.max(most[Math.floor(i / each)]!, (margin * Math.abs(found[i]! - data[i]!)) / allowed);
    }
  }
  return most;
}

/**
 * The steadiest `wanted` of candidates x [C, …], in their order, judged by the gradient: the first that rounding leaves alone, without a look at
 * the others.
 */
export async function steadySamples(subject: Subject, x: Tensor, wanted: number, tolerance: Tolerance): Promise<number[]> {
  const [count, ...sampleShape] = x.shape as [number, ...number[]];
  const length = x.data.length / count;
  return withGraph(subject, 'gradient', async (evaluate) => {
    const found: { index: number; answer: number }[] = [];
    for (let first = 0; first < count && found.filter(({ answer }) => answer <= 1).length < wanted; first += wanted) {
      const part = { shape: [wanted, ...sampleShape], data: x.data.slice(first * length, (first + wanted) * length) as Float32Array };
      (await answers(evaluate, { x: part }, 'x', tolerance)).forEach((answer, index) => found.push({ index: first + index, answer }));
    }
    return found.sort((a, b) => Math.max(1, a.answer) - Math.max(1, b.answer) || a.index - b.index).slice(0, wanted).map(({ index }) => index).sort((a, b) => a - b);
  });
}

/** η, or a smaller one, at which the graph answers a nudge with no more than it may be off. */
export async function steadyEta(subject: Subject, graph: GraphName, inputs: Tensors, at: 'x' | 'x0', tolerance: Tolerance): Promise<Tensor> {
  return withGraph(subject, graph, async (evaluate) => {
    let eta = (inputs['eta']!.data as Float32Array)[0]!;
    const answer = async (): Promise<number> => Math.max(...await answers(evaluate, { ...inputs, eta: scalar(eta) }, at, tolerance));
    // The answer falls with the step size, and twice as fast where steps amplify each other.
    for (let found = await answer(), tries = 0; found > 1 && tries < 4; tries++) {
      eta /= 2 * found;
      found = await answer();
    }
    return scalar(eta);
  });
}
