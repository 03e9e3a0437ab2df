/** `ratioflow export`: the bundle of a training run. */
import { Command } from 'commander';
import type { Context } from '../context.js';
import { productsOf, withProductOptions, type ProductFlags } from '../product-options.js';

interface Options extends ProductFlags {
  readonly out: string;
}

export const exportCommand = (context: Context): Command => withProductOptions(new Command('export')
  .description('write the bundle of a training run\'s latest checkpoint (averaged weights)')
  .argument('<run>', 'folder of the run')
  .requiredOption('-o, --out <bundle>', 'folder of the bundle; an older bundle there is replaced'))
  .action(async (folder: string, options: Options) => {
    const [{ bundleOf, openRun }, { writeBundle }, { createRuntime }] = await Promise.all([import('@ratioflow/trainer'), import('@ratioflow/export'), import('@ratioflow/node')]);
    const { run, iteration } = await openRun(folder);
    try {
      await writeBundle(options.out, await bundleOf(run, iteration, createRuntime(), productsOf(options)));
    } finally {
      await run.dispose();
    }
    context.print(`bundle of iteration ${iteration} in ${options.out}`);
  });
