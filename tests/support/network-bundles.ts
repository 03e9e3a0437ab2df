/** Bundles of small networks with fixed random weights, for tests that compare engines. */
import { GraphBuilder, compose, createBundle, newModel, writeBundle } from '@ratioflow/export';
import { bundleSource, createRuntime } from '@ratioflow/node';
import { normals, purposes } from '@ratioflow/sdk';

type Value = ReturnType<GraphBuilder['input']>;
/** What a bundle has besides its network; each of the two below has defaults of its own. */
type Settings = Partial<Pick<Parameters<typeof createBundle>[0], 'name' | 'pairing' | 'prior' | 'eta' | 'nu' | 'K' | 'kappa' | 'valueRange'>>;

/** Weights of variance 1 / fan-in. */
function weights(builder: GraphBuilder, index: number, dims: readonly number[], fanIn: number): Value {
  const elements = dims.reduce((a, b) => a * b, 1);
  const values = normals({ seed: 11, purpose: purposes.weights, step: index, count: 1, elements }).map((value) => value / Math.sqrt(fanIn));
  return builder.initializer(`w${index}`, { dtype: 'float32', dims, data: new Uint8Array(values.buffer) });
}

/** A network of the toy experiments' kind, on points. */
export async function writePointsBundle(folder: string, settings: Settings = {}): Promise<void> {
  const builder = new GraphBuilder('mlp');
  let h = builder.input('x', 'float32', ['N', 2]);
  for (const [i, [from, to]] of ([[2, 64], [64, 64], [64, 1]] as const).entries()) {
    h = builder.op('MatMul', [h, weights(builder, i, [from, to], from)]);
    if (to > 1) h = builder.op('LeakyRelu', [h], { alpha: 0.2 });
  }
  builder.output('n', h);
  await writeBundle(folder, await createBundle({
    name: 'points', estimator: newModel(builder.graph), pairing: 'lr-js', prior: { kind: 'gaussian' }, valueRange: null,
    eta: 0.2, nu: 0.1, K: 25, kappa: 7, reference: createRuntime({ threads: 1 }), ...settings,
  }));
}

/** Convolutions of stride 1 and 2 with a residual, on images of 8 × 8. */
export async function writeImageBundle(folder: string, settings: Settings = {}): Promise<void> {
  const builder = new GraphBuilder('convolutions');
  const x = builder.input('x', 'float32', ['N', 1, 8, 8]);
  const conv = (input: Value, index: number, from: number, to: number, stride: number): Value =>
    builder.op('Conv', [input, weights(builder, index, [to, from, 3, 3], 9 * from)], { kernel_shape: [3, 3], strides: [stride, stride], pads: [1, 1, 1, 1] });
  const act = (input: Value): Value => builder.op('LeakyRelu', [input], { alpha: 0.2 });
  const stem = act(conv(x, 0, 1, 8, 1));
  const down = act(conv(stem, 1, 8, 12, 2));
  const block = act(builder.op('Add', [down, conv(act(conv(down, 2, 12, 12, 1)), 3, 12, 12, 1)]));
  const pooled = builder.op('ReduceMean', [block, builder.ints([2, 3])], { keepdims: 0 });
  builder.output('n', builder.op('MatMul', [pooled, weights(builder, 4, [12, 1], 12)]));
  await writeBundle(folder, await createBundle({
    name: 'image', estimator: newModel(builder.graph), pairing: 'lr-kl', prior: { kind: 'uniform' }, valueRange: [-1, 1],
    eta: 3, nu: 0.05, K: 20, kappa: 5, reference: createRuntime({ threads: 1 }), ...settings,
  }));
}

/** Wide enough that its convolution is written for CPUs in a graph of its own (step-cpu, sampler-cpu), on images of 16 × 16; smooth, as rounding differs between the two. */
export async function writeWideBundle(folder: string, settings: Settings = {}): Promise<void> {
  const builder = new GraphBuilder('wide');
  const x = builder.input('x', 'float32', ['N', 1, 16, 16]);
  const layer = (input: Value, index: number, from: number): Value =>
    builder.op('Softplus', [builder.op('Conv', [input, weights(builder, index, [128, from, 3, 3], 9 * from)], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })]);
  const pooled = builder.op('ReduceMean', [layer(layer(x, 0, 1), 1, 128), builder.ints([2, 3])], { keepdims: 0 });
  builder.output('n', builder.op('MatMul', [pooled, weights(builder, 2, [128, 1], 128)]));
  await writeBundle(folder, await createBundle({
    name: 'wide', estimator: newModel(builder.graph), pairing: 'lr-kl', prior: { kind: 'uniform' }, valueRange: [-1, 1],
    eta: 3, nu: 0.05, K: 20, kappa: 5, reference: createRuntime({ threads: 1 }), ...settings,
  }));
}

/** The image bundle in `image`, guided by a linear classifier of three classes. */
export async function writeGuidedBundle(folder: string, image: string): Promise<void> {
  const builder = new GraphBuilder('classifier');
  builder.output('logits', builder.op('MatMul', [builder.op('Flatten', [builder.input('x', 'float32', ['N', 1, 8, 8])], { axis: 1 }), weights(builder, 9, [64, 3], 16)]));
  const { files } = await compose({
    bundles: [await bundleSource(image)], guide: { model: newModel(builder.graph) }, name: 'guided', scale: 0.5, classNames: ['ant', 'bee', 'cat'], reference: createRuntime({ threads: 1 }),
  });
  await writeBundle(folder, files);
}
