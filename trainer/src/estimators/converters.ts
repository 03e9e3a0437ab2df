/** How the estimators' own layers become ONNX: kernels are stored divided by their σ, attention as two matrix products. */
import { layerConverters, type LayerContext, type LayerConverter } from '@ratioflow/export';
import type { SpectralLayer } from './spectral.js';

/** The built-in converter of a plain layer, given the kernel over σ as it is when the kernel is read. */
function normalised(className: 'Conv2D' | 'Dense'): LayerConverter {
  return (context, inputs) => {
    const layer = context.layer as unknown as SpectralLayer;
    const overSigma = (data: Float32Array): Float32Array => {
      const sigma = layer.sigma();
      const scale = 1 / sigma.dataSync()[0]!;
      sigma.dispose();
      return data.map((value) => value * scale);
    };
    const parameter: LayerContext['parameter'] = (weight, permutation, options) =>
      weight === 'kernel'
        ? context.parameter(weight, permutation, { ...options, arrange: (data) => overSigma(options?.arrange ? options.arrange(data) : data) })
        : context.parameter(weight, permutation, options);
    return layerConverters[className]!({ ...context, parameter }, inputs);
  };
}

const attention: LayerConverter = ({ builder, where }, inputs) => {
  const images = inputs.map(({ value, layout }) => {
    if (layout !== 'channels-first' || !value.shape) throw new Error(`${where}: expects images with channels first.`);
    return value;
  });
  const shape = images[2]!.shape!;
  const [channels, height, width] = shape.slice(1) as [number, number, number];
  const [query, key, value] = images.map((image) => builder.op('Reshape', [image, builder.ints([-1, image.shape![1] as number, height * width])]));
  const turned = (x: NonNullable<typeof query>): typeof x => builder.op('Transpose', [x], { perm: [0, 2, 1] });
  const weights = builder.op('Softmax', [builder.op('MatMul', [turned(query!), key!])], { axis: -1 });
  const mixed = turned(builder.op('MatMul', [weights, turned(value!)]));
  return { value: builder.op('Reshape', [mixed, builder.ints([-1, channels, height, width])]), layout: 'channels-first' };
};

const gain: LayerConverter = ({ builder, parameter }, [x]) => ({ value: builder.op('Mul', [x!.value, parameter('gain')]), layout: x!.layout });

/** For `convertLayersModel`, by class name. */
export const estimatorConverters: Readonly<Record<string, LayerConverter>> = {
  SpectralConv2D: normalised('Conv2D'),
  SpectralDense: normalised('Dense'),
  DotProductAttention: attention,
  Gain: gain,
};
