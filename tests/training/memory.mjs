/**
 * 500 iterations of training in a process of their own: `node --expose-gc memory.mjs <mlp|mlp-tfjs|convolution>`.
 * Prints JSON: tensors and resident bytes after the warm-up and after the iterations.
 */
import { loadSources } from '../support/load-sources.mjs';

const [warmUp, iterations] = [100, 500];
const { load, close } = await loadSources();

/** The parts of a run: a multi-layer perceptron as configured, or a small convolution, whose flow makes a session per iteration. */
async function partsOf(name) {
  const { parseConfig } = await load('trainer/src/config/load.ts');
  const { assemble } = await load('trainer/src/run/assemble.ts');
  const { createRuntime } = await load('runtimes/node/src/index.ts');
  const convolution = name === 'convolution';
  const config = parseConfig(`
name: memory
data: ${convolution ? `{ name: gaussian, mean: [${Array(64).fill(0)}], variance: 1 }` : '{ name: swiss-roll }'}
estimator: { name: mlp }
prior: gaussian
flow: { K: ${convolution ? 2 : 8}, eta: 0.1 }
training: { iterations: 1000, batch: ${{ convolution: 4, mlp: 1024, 'mlp-tfjs': 256 }[name]}, ema: 0.9 }
bridge: ${name === 'mlp-tfjs' ? 'tfjs' : 'onnxruntime'}
`, 'memory');
  const { flowRuntime } = await load('trainer/src/bridge/flow-runtime.ts');
  const runtime = flowRuntime('cpu');
  const parts = await assemble(config, createRuntime(), { flowRuntime: runtime });
  if (!convolution) return parts;
  const { tf } = parts.tensorflow;
  const sampleShape = [1, 8, 8];
  const { onnxBridge } = await load('trainer/src/bridge/onnx-bridge.ts');
  const { createLearner } = await load('trainer/src/loop/learner.ts');
  const input = tf.input({ shape: [8, 8, 1] });
  let x = tf.layers.conv2d({ filters: 32, kernelSize: 3, padding: 'same', useBias: false, name: 'a' }).apply(input);
  x = tf.layers.leakyReLU({ alpha: 0.2 }).apply(x);
  x = tf.layers.conv2d({ filters: 32, kernelSize: 3, padding: 'same', useBias: false, name: 'b' }).apply(x);
  x = tf.layers.dense({ units: 1 }).apply(tf.layers.globalAveragePooling2d({}).apply(x));
  const network = tf.model({ inputs: input, outputs: x });
  return {
    ...parts,
    dataset: { ...parts.dataset, sampleShape },
    bridge: await onnxBridge(network, sampleShape, parts.pairing, config.flow, runtime),
    learner: createLearner(tf, network, { pairing: parts.pairing, sampleShape, ema: 0.9, beta1: 0.9, beta2: 0.999 }),
  };
}

const parts = await partsOf(process.argv[2]);
const { train } = await load('trainer/src/loop/train.ts');
/** After two collections: what finalisers of the first let go is gone with the second. */
const measure = async () => {
  for (let round = 0; round < 2; round++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { tensors: parts.tensorflow.tf.memory().numTensors, resident: process.memoryUsage.rss() };
};
let before;
for await (const { iteration } of train(parts, 0, warmUp + iterations)) if (iteration === warmUp) before = await measure();
console.log(JSON.stringify({ before, after: await measure() }));
await close();
process.exit(0);
