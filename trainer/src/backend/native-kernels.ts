/**
 * Where TensorFlow has one operator for what tfjs-node composes of several, or for what it computes by a slower one:
 * products of two matrices, which it hands to the operator for batches of them (1.7 to 4 times the time), and the gradient
 * of LeakyReLU, for which it compares, multiplies and selects.
 */
import type { KernelConfig, Tensor, TensorInfo } from '@tensorflow/tfjs';
import type { TensorFlow } from './tensorflow.js';

/** What is used of the backend of tfjs-node-gpu, which is an optional package. */
interface NodeBackend {
  readonly binding: { readonly TF_ATTR_BOOL: number; readonly TF_ATTR_FLOAT: number; readonly TF_ATTR_TYPE: number; readonly TF_FLOAT: number };
  executeSingleOutput(operator: string, attributes: readonly { readonly name: string; readonly type: number; readonly value: unknown }[], inputs: readonly TensorInfo[]): Tensor;
}

const [backendName, product, activation, activationGradient] = ['tensorflow', 'BatchMatMul', 'LeakyRelu', 'LeakyReluGrad'];

let registered = false;

/** Registers them with the backend "tensorflow", which is loaded. */
export function registerNativeKernels(tf: TensorFlow): void {
  if (registered) return;
  registered = true;
  const inBatches = tf.getKernel(product, backendName);
  tf.unregisterKernel(product, backendName);
  tf.registerKernel({ kernelName: product, backendName, kernelFunc: (call) => matrixProduct(tf, call) ?? inBatches.kernelFunc(call) });

  tf.registerKernel({ kernelName: activationGradient, backendName, kernelFunc: leakyReluGradient });
  const composed = tf.getGradient(activation);
  tf.unregisterGradient(activation);
  tf.registerGradient({
    ...composed,
    // Gradients are the same for all backends, kernels are not.
    gradFunc: (dy, saved, attrs) => (tf.getBackend() === backendName ? { x: () => tf.engine().runKernel(activationGradient, { dy: dy as Tensor, x: saved[0]! }, { alpha: attrs['alpha']! }) } : composed.gradFunc(dy, saved, attrs)),
  });
}

type Call = Parameters<KernelConfig['kernelFunc']>[0];
const float = ({ binding }: NodeBackend) => ({ name: 'T', type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT });

/** a · b of two matrices of floats, which may come as batches of one; undefined for anything else. */
function matrixProduct(tf: TensorFlow, { inputs, backend, attrs }: Call): Tensor | undefined {
  // tfjs hands its kernels the tensors themselves.
  const a = inputs['a'] as Tensor;
  const b = inputs['b'] as Tensor;
  const batches = a.shape.slice(0, -2);
  if (a.dtype !== 'float32' || b.dtype !== 'float32' || a.rank !== b.rank || [...batches, ...b.shape.slice(0, -2)].some((extent) => extent !== 1)) return undefined;
  const node = backend as NodeBackend;
  const flag = (name: string, value: unknown) => ({ name, type: node.binding.TF_ATTR_BOOL, value });
  const multiply = (...matrices: Tensor[]): Tensor =>
    node.executeSingleOutput('MatMul', [float(node), flag('transpose_a', attrs!['transposeA']), flag('transpose_b', attrs!['transposeB'])], matrices);
  if (batches.length === 0) return multiply(a, b);
  return tf.tidy(() => {
    const c = multiply(...[a, b].map((matrix) => matrix.reshape(matrix.shape.slice(-2))));
    return c.reshape([...batches, ...c.shape]);
  });
}

/** dy where x > 0, else α · dy. */
function leakyReluGradient({ inputs, backend, attrs }: Call): Tensor {
  const node = backend as NodeBackend;
  return node.executeSingleOutput(activationGradient, [{ name: 'alpha', type: node.binding.TF_ATTR_FLOAT, value: attrs!['alpha'] }, float(node)], [inputs['dy']!, inputs['x']!]);
}
