/**
 * The kernel that tfjs's WebAssembly backend lacks: the gradient of a 2-D convolution with respect to its filter.
 * For every kernel position the input that this position saw is cut out of the padded input and multiplied with dy:
 *   dW[i, j, c, o] = Σ_{n, y, x} padded[n, y·s_h + i, x·s_w + j, c] · dy[n, y, x, o].
 * Channels last, undilated (tfjs differentiates no dilated convolution).
 */
import type { NamedTensorInfoMap, Rank, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { TensorFlow } from './tensorflow.js';

type Padding = 'same' | 'valid' | number | [[number, number], [number, number], [number, number], [number, number]];

/** Attributes of the kernel Conv2DBackpropFilter, as tfjs-core documents them. */
interface Attributes {
  readonly strides: [number, number] | number;
  readonly pad: Padding;
  readonly dataFormat: 'NHWC' | 'NCHW';
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
  readonly filterShape: [number, number, number, number];
}

/** Registers the kernel for the backend "wasm", unless it has one by now. */
export function registerConvFilterGradient(tf: TensorFlow): void {
  if (tf.getKernelsForBackend('wasm').some((kernel) => kernel.kernelName === 'Conv2DBackpropFilter')) return;
  tf.registerKernel({
    kernelName: 'Conv2DBackpropFilter',
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs }) => convFilterGradient(tf, inputs, attrs as unknown as Attributes),
  });
}

function convFilterGradient(tf: TensorFlow, inputs: NamedTensorInfoMap, attributes: Attributes): Tensor4D {
  const { strides, pad, dataFormat, dimRoundingMode, filterShape } = attributes;
  if (dataFormat !== 'NHWC') {
    throw new Error(`Conv2DBackpropFilter on wasm: data format ${dataFormat}; only channels last (NHWC) is implemented`);
  }
  // tfjs hands its kernels the tensors themselves.
  const x = inputs['x'] as Tensor4D;
  const dy = inputs['dy'] as Tensor4D;
  const info = tf.backend_util.computeConv2DInfo(x.shape, filterShape, strides, 1, pad, dimRoundingMode);
  const { outHeight, outWidth, inChannels, outChannels, strideHeight, strideWidth } = info;
  // Rows and columns that the last kernel position still reads; with 'valid' a rest of the input may stay unread.
  const height = Math.max((outHeight - 1) * strideHeight + info.filterHeight, info.padInfo.top + info.inHeight);
  const width = Math.max((outWidth - 1) * strideWidth + info.filterWidth, info.padInfo.left + info.inWidth);
  const positions = info.batchSize * outHeight * outWidth;

  return tf.tidy(() => {
    const { top, left } = info.padInfo;
    const below = height - top - info.inHeight;
    const right = width - left - info.inWidth;
    const padded = top + left + below + right === 0 ? x : tf.pad(x, [[0, 0], [top, below], [left, right], [0, 0]]);
    const dyRows = tf.reshape<Rank.R2>(dy, [positions, outChannels]);
    const parts: Tensor2D[] = [];
    for (let i = 0; i < info.filterHeight; i++) {
      for (let j = 0; j < info.filterWidth; j++) {
        const seen = tf.stridedSlice(
          padded,
          [0, i, j, 0],
          [info.batchSize, i + (outHeight - 1) * strideHeight + 1, j + (outWidth - 1) * strideWidth + 1, inChannels],
          [1, strideHeight, strideWidth, 1],
        );
        // Transposed beforehand: the backend's fast matrix product takes no transposed operand.
        const columns = tf.transpose(tf.reshape(seen, [positions, inChannels]));
        parts.push(tf.matMul<Tensor2D>(columns, dyRows));
      }
    }
    return tf.reshape(tf.concat(parts, 0), filterShape);
  });
}
