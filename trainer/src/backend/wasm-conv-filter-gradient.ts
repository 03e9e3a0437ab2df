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
export interface ConvAttributes {
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
    kernelFunc: ({ inputs, attrs }) => convFilterGradient(tf, inputs, attrs as unknown as ConvAttributes),
  });
}

function convFilterGradient(tf: TensorFlow, inputs: NamedTensorInfoMap, attributes: ConvAttributes): Tensor4D {
  const { strides, pad, dataFormat, dimRoundingMode, filterShape } = attributes;
  if (dataFormat !== 'NHWC') {
    throw new Error(`Conv2DBackpropFilter on wasm: data format ${dataFormat}; only channels last (NHWC) is implemented`);
  }
  // tfjs hands its kernels the tensors themselves.
  const x = inputs['x'] as Tensor4D;
  const dy = inputs['dy'] as Tensor4D;
  const info = tf.backend_util.computeConv2DInfo(x.shape, filterShape, strides, 1, pad, dimRoundingMode);
  const { outHeight, outWidth, inChannels, outChannels, strideHeight, strideWidth } = info;
  // Steps of the strides that cover all that a kernel position reads; with 'valid' a rest of the input may stay unread.
  const { top, left } = info.padInfo;
  const rows = Math.ceil(Math.max((outHeight - 1) * strideHeight + info.filterHeight, top + info.inHeight) / strideHeight);
  const columns = Math.ceil(Math.max((outWidth - 1) * strideWidth + info.filterWidth, left + info.inWidth) / strideWidth);
  const batch = info.batchSize;

  return tf.tidy(() => {
    const below = rows * strideHeight - top - info.inHeight;
    const right = columns * strideWidth - left - info.inWidth;
    const padded = top + left + below + right === 0 ? x : tf.pad(x, [[0, 0], [top, below], [left, right], [0, 0]]);
    // Split into phases of the strides by one transposition: the backend's strided slices are slow.
    const phases = tf.transpose(
      tf.reshape<Rank.R5>(padded, [batch * rows, strideHeight, columns, strideWidth, inChannels]),
      [1, 3, 0, 2, 4],
    );
    const dyRows = tf.reshape<Rank.R2>(dy, [batch * outHeight * outWidth, outChannels]);
    const parts: Tensor2D[] = [];
    for (let i = 0; i < info.filterHeight; i++) {
      for (let j = 0; j < info.filterWidth; j++) {
        const phase = tf.slice(phases, [i % strideHeight, j % strideWidth, 0, 0, 0], [1, 1, -1, -1, -1]);
        const seen = tf.slice(
          tf.reshape<Rank.R4>(phase, [batch, rows, columns, inChannels]),
          [0, Math.floor(i / strideHeight), Math.floor(j / strideWidth), 0],
          [batch, outHeight, outWidth, inChannels],
        );
        // Transposed beforehand: the backend's fast matrix product takes no transposed operand.
        const transposed = tf.transpose(tf.reshape(seen, [batch * outHeight * outWidth, inChannels]));
        parts.push(tf.matMul<Tensor2D>(transposed, dyRows));
      }
    }
    return tf.reshape(tf.concat(parts, 0), filterShape);
  });
}
