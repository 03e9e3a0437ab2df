/** `ratioflow export`: the bundle of an estimator's run, the ONNX file of a classifier's. */
import { Command } from 'commander';
import type { Context } from '../context.js';
import { productsOf, withProductOptions, type ProductFlags } from '../product-options.js';

interface Options extends ProductFlags {
  readonly out: string;
}

export const exportCommand = (context: Context): Command => withProductOptions(new Command('export')
  .description('write what a training run\'s latest checkpoint has learned (averaged weights): its bundle, or the classifier')
  .argument('<run>', 'folder of the run')
  .requiredOption('-o, --out <path>', 'folder of the bundle, or of a classifier\'s run the file (.onnx); an older one there is replaced'))
  .action(async (folder: string, options: Options) => {
    const { exportRun } = await import('@ratioflow/trainer');
    const { kind, path, iteration } = await exportRun(folder, options.out, productsOf(options));
    context.print(`${kind === 'classifier' ? 'classifier' : 'bundle'} of iteration ${iteration} in ${path}`);
  });
