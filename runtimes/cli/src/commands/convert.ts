/** `ratioflow convert`: a tfjs model as ONNX. */
import { Command } from 'commander';
import type { Context } from '../context.js';

interface Options {
  readonly out: string;
}

export const convertCommand = (context: Context): Command => new Command('convert')
  .description('convert a tfjs model (layers-model or graph-model) to ONNX')
  .argument('<model.json>', 'the model, or the folder it lies in')
  .requiredOption('-o, --out <model.onnx>', 'the ONNX model; images are [N, C, H, W] there')
  .action(async (path: string, options: Options) => {
    const { convertGraphModel, ModelFormatError, convertLayersModel, readTfjsModel, writeModel } = await import('@ratioflow/export');
    const { writeFileAtomic } = await import('@ratioflow/node');
    const { format, artifacts } = await readTfjsModel(path);
    const convertLayers = async (): Promise<Parameters<typeof writeModel>[0]> => {
      const { loadTensorFlow } = await import('@ratioflow/trainer');
      const { tf } = await loadTensorFlow();
      const network = await tf.loadLayersModel(tf.io.fromMemory(artifacts)).catch((cause: unknown) => {
        throw new ModelFormatError(`${path}: tfjs cannot load this model: ${(cause as Error).message.split('\n')[0]!}`, { cause });
      });
      try {
        return (await convertLayersModel(network)).model;
      } finally {
        network.dispose();
      }
    };
    const model = format === 'layers-model' ? await convertLayers() : convertGraphModel(artifacts);
    await writeFileAtomic(options.out, writeModel(model));
    const list = (values: typeof model.graph.inputs): string => values.map(({ name, shape }) => `${name} [${shape?.join(', ') ?? '?'}]`).join(', ');
    context.print(`${options.out}: ${list(model.graph.inputs)} → ${list(model.graph.outputs)}`);
  });
