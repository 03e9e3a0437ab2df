/** What the estimator makes at present, as a picture: sampled through the SDK from the bundle as it would ship. */
import { encodePng } from '@ratioflow/node';
import type { FloatTensor, Runtime } from '@ratioflow/sdk';
import type { Dataset } from '../data/dataset.js';
import { sampleLength } from '../data/dataset.js';
import { drawSource } from '../loop/train.js';
import { scatterPlot } from '../pictures/plane-plots.js';
import { memoryModel } from './memory-model.js';

/** PNG of `count` samples: a grid of images, or points over the data. The same seed every time, so that previews compare. */
export async function previewOf(files: ReadonlyMap<string, Uint8Array>, dataset: Dataset, source: Dataset | null, runtime: Runtime, count: number, title: string, signal?: AbortSignal): Promise<Uint8Array> {
  const model = await memoryModel(files, runtime);
  try {
    const from = source ? await drawSource(source, 0n, count, 0) : null;
    const x0 = from && { x0: { shape: [count, ...dataset.sampleShape], data: from } };
    const { samples } = await model.sample({ count, seed: 0, ...x0, ...(signal && { signal }) });
    if (dataset.sampleShape.length === 3) return await encodePng(visible(samples), { scale: 2 });
    const data = new Float32Array(count * sampleLength(dataset.sampleShape));
    await dataset.batch(data, { seed: 0, iteration: 0, count });
    return (await scatterPlot({ title, data, samples: samples.data })).png;
  } finally {
    await model.dispose();
  }
}

/** A picture has 1 or 3 channels: of other numbers the first ones are shown. */
function visible(samples: FloatTensor): FloatTensor {
  const [count, channels, ...extents] = samples.shape as [number, number, ...number[]];
  const shown = channels < 3 ? 1 : 3;
  if (shown === channels) return samples;
  const pixels = sampleLength(extents);
  const data = new Float32Array(count * shown * pixels);
  for (let i = 0; i < count; i++) data.set(samples.data.subarray(i * channels * pixels, (i * channels + shown) * pixels), i * shown * pixels);
  return { shape: [count, shown, ...extents], data };
}
