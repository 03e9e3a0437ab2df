/**
 * Parts of a batch that a learning step goes through one after the other, adding their gradients up: losses are means over samples,
 * so the sum is the gradient of the whole batch up to rounding, and the values that are kept for it are those of one part.
 */
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs';
import { channelsLast } from '../estimators/layout.js';
import { isSpectralVector } from '../estimators/spectral.js';

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
 * @param sampleShape where the network leaves extents of its input open
 * @param copies samples that go through the network for each of the batch
 * @param size largest part; by default what keeps memory small. A network whose moments follow the batch takes all of it at once
 */
export function microBatches(network: LayersModel, batch: number, { sampleShape, copies = 1, size = defaultSize(network, copies, sampleShape) }: { readonly sampleShape?: readonly number[]; readonly copies?: number; readonly size?: number | undefined } = {}): MicroBatch[] {
  const parts = Math.ceil(batch / Math.max(1, Math.min(batch, size)));
  const boundary = (part: number): number => Math.round((part * batch) / parts);
  return Array.from({ length: parts }, (_, part) => {
    const count = boundary(part + 1) - boundary(part);
    return { first: boundary(part), count, share: count / batch };
  });
}

function defaultSize(network: LayersModel, copies: number, sampleShape: readonly number[] | undefined): number {
  // Vectors of spectral norms follow the weights; anything else that moves without a gradient may follow the batch.
  if (!network.nonTrainableWeights.every(isSpectralVector)) return Infinity;
  return Math.floor(largestPart / (copies * valuesOfSample(network, sampleShape)));
}

type Shape = (number | null)[];

/** Numbers that the layers of a network make of one sample, each as often as the network applies it. @param sampleShape where the network leaves extents open */
export function valuesOfSample(network: LayersModel, sampleShape?: readonly number[]): number {
  const shapes = new Map<number, Shape>();
  for (const { id, shape } of network.inputs) shapes.set(id, sampleShape ? [null, ...channelsLast(sampleShape)] : shape);
  const shapeOf = ({ id, sourceLayer, nodeIndex }: SymbolicTensor): Shape => {
    if (!shapes.has(id)) {
      const { inputTensors, outputTensors } = sourceLayer.inboundNodes[nodeIndex]!;
      const inputs = inputTensors.map(shapeOf);
      const outputs = sourceLayer.computeOutputShape(inputs.length === 1 ? inputs[0]! : inputs);
      outputTensors.forEach((tensor, index) => shapes.set(tensor.id, (Array.isArray(outputs[0]) ? outputs[index] : outputs) as Shape));
    }
    return shapes.get(id)!;
  };
  network.outputs.forEach(shapeOf);
  return [...shapes.values()].reduce((sum, shape) => sum + shape.slice(1).reduce<number>((product, extent) => product * (extent ?? 1), 1), 0);
}
