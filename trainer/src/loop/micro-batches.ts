/**
 * Parts of a batch that a learning step goes through one after the other, adding their gradients up: losses are means over samples,
 * so the sum is the gradient of the whole batch up to rounding, and the values that are kept for it are those of one part.
 */
import type { LayersModel } from '@tensorflow/tfjs';

/** Numbers that the layers of a network make of one part at most: 128 MiB of them, to which their gradients are added. Twice as many make a step of resnet32 a tenth faster, and 0.3 GB larger. */
const largestPart = 2 ** 25;

export interface MicroBatch {
  readonly first: number;
  readonly count: number;
  /** Its part of the batch. */
  readonly share: number;
}

/**
 * The parts of a batch, as even as can be. They depend on the network and the batch alone, not on the machine, so that runs can be repeated.
 * @param copies samples that go through the network for each of the batch
 * @param size largest part; by default what keeps memory small. A network whose moments follow the batch takes all of it at once
 */
export function microBatches(network: LayersModel, batch: number, { copies = 1, size = defaultSize(network, copies) }: { readonly copies?: number; readonly size?: number | undefined } = {}): MicroBatch[] {
  const parts = Math.ceil(batch / Math.max(1, Math.min(batch, size)));
  const boundary = (part: number): number => Math.round((part * batch) / parts);
  return Array.from({ length: parts }, (_, part) => {
    const count = boundary(part + 1) - boundary(part);
    return { first: boundary(part), count, share: count / batch };
  });
}

function defaultSize(network: LayersModel, copies: number): number {
  // Vectors of spectral norms follow the weights; anything else that moves without a gradient may follow the batch.
  if (!network.nonTrainableWeights.every(({ originalName }) => /\/spectral_[uv]$/.test(originalName))) return Infinity;
  return Math.floor(largestPart / (copies * valuesOfSample(network)));
}

/** Numbers that the layers of a network make of one sample. */
export function valuesOfSample(network: LayersModel): number {
  return network.layers.flatMap(({ outputShape }) => (Array.isArray(outputShape[0]) ? outputShape : [outputShape]) as (number | null)[][])
    .reduce((sum, shape) => sum + shape.slice(1).reduce<number>((product, extent) => product * (extent ?? 1), 1), 0);
}
