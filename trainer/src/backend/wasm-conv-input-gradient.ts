/**
 * The gradient of a 2-D convolution with respect to its input, for tfjs's WebAssembly backend. The backend's own kernel
 * is a plain loop, twenty times slower than its convolutions; this one is made of convolutions.
 *   dX[n, a, b, c] = Σ_{y·s + i = a + top, x·s + j = b + left} Σ_o dY[n, y, x, o] · W[i, j, c, o]
 * With a + top = q·s + r, only the kernel rows i = r + s·m meet phase r: each pair of phases is a stride-1 convolution of
 * dY with the reversed sub-kernel, and the phases are interleaved. Channels last, undilated.
 */
import type { NamedTensorInfoMap, Rank, Tensor4D } from '@tensorflow/tfjs';
import type { TensorFlow } from './tensorflow.js';
import type { ConvAttributes } from './wasm-conv-filter-gradient.js';

/** Replaces the backend's kernel Conv2DBackpropInput. */
export function registerConvInputGradient(tf: TensorFlow): void {
  tf.unregisterKernel('Conv2DBackpropInput', 'wasm');
  tf.registerKernel({
    kernelName: 'Conv2DBackpropInput',
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs }) => convInputGradient(tf, inputs, attrs as unknown as InputGradientAttributes),
  });
}

type InputGradientAttributes = Omit<ConvAttributes, 'filterShape'> & { readonly inputShape: [number, number, number, number] };

function convInputGradient(tf: TensorFlow, inputs: NamedTensorInfoMap, attributes: InputGradientAttributes): Tensor4D {
  const { strides, pad, dataFormat, dimRoundingMode, inputShape } = attributes;
  if (dataFormat !== 'NHWC') {
    throw new Error(`Conv2DBackpropInput on wasm: data format ${dataFormat}; only channels last (NHWC) is implemented`);
  }
  // tfjs hands its kernels the tensors themselves.
  const dy = inputs['dy'] as Tensor4D;
  const filter = inputs['filter'] as Tensor4D;
  const info = tf.backend_util.computeConv2DInfo(inputShape, filter.shape, strides, 1, pad, dimRoundingMode);
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, strideHeight, strideWidth } = info;
  const { top, left } = info.padInfo;
  // Steps of the strides that cover every padded position that was read or that is asked for.
  const rows = Math.ceil(Math.max((outHeight - 1) * strideHeight + info.filterHeight, top + inHeight) / strideHeight);
  const columns = Math.ceil(Math.max((outWidth - 1) * strideWidth + info.filterWidth, left + inWidth) / strideWidth);

  const phase = (r: number, c: number): Tensor4D => {
    const height = Math.ceil((info.filterHeight - r) / strideHeight);
    const width = Math.ceil((info.filterWidth - c) / strideWidth);
    if (height <= 0 || width <= 0) return tf.zeros([batchSize, rows, columns, inChannels]); // No kernel position meets it.
    const part = tf.stridedSlice(filter, [r, c, 0, 0], filter.shape, [strideHeight, strideWidth, 1, 1]) as Tensor4D;
    const kernel = tf.transpose(tf.reverse(part, [0, 1]), [0, 1, 3, 2]);
    const padded = tf.pad(dy, [[0, 0], [height - 1, rows - outHeight], [width - 1, columns - outWidth], [0, 0]]);
    return tf.conv2d(padded, kernel, 1, 'valid');
  };

  return tf.tidy(() => {
    const across = Array.from({ length: strideHeight }, (_, r) => {
      const phases = Array.from({ length: strideWidth }, (__, c) => phase(r, c));
      return phases.length === 1 ? tf.expandDims(phases[0]!, 3) : tf.stack(phases, 3);
    });
    const whole = across.length === 1 ? tf.expandDims(across[0]!, 2) : tf.stack(across, 2);
    const interleaved = tf.reshape<Rank.R4>(whole, [batchSize, rows * strideHeight, columns * strideWidth, inChannels]);
    return tf.slice(interleaved, [0, top, left, 0], [batchSize, inHeight, inWidth, inChannels]);
  });
}
