/** `ratioflow compose`: a bundle whose flow is made of several bundles' and a classifier's. */
import { Command, Option } from 'commander';
import type { Context } from '../context.js';
import { guideOf, withGuideOptions, type GuideFlags } from '../guide-options.js';
import { collect, finiteNumber, integerFrom } from '../parsers.js';

interface Options extends GuideFlags {
  readonly out: string;
  readonly weight: number[];
  readonly refine?: number;
  readonly name?: string;
}

export const composeCommand = (context: Context): Command => withGuideOptions(new Command('compose')
  .description('make one bundle of several: the weighted sum of their drifts, with or without the guidance of a classifier')
  .argument('<bundle...>', 'bundles of one sample shape, value range and pairing; the first gives prior and schedule')
  .requiredOption('-o, --out <bundle>', 'folder of the new bundle; an older bundle there is replaced')
  .addOption(new Option('--weight <w>', 'weight of a bundle\'s drift; as often as there are bundles').argParser(collect(finiteNumber)).default([], '1 each'))
  .option('--refine <k>', 'refinement steps (default: the first bundle\'s)', integerFrom(0))
  .option('--name <text>', 'name of the new bundle (default: the names of the others)'))
  .action(async (bundles: string[], options: Options) => {
    const [{ compose, writeBundle }, { bundleSource, createRuntime, refuseInputs }] = await Promise.all([import('@ratioflow/export'), import('@ratioflow/node')]);
    await refuseInputs([options.out], 'The bundle', bundles);
    const guide = await guideOf(options);
    const { files, notes, classes } = await compose({
      bundles: await Promise.all(bundles.map((path) => bundleSource(path))), reference: createRuntime(), ...(guide && { guide }), ...(options.weight.length > 0 && { weights: options.weight }),
      ...(options.scale !== undefined && { scale: options.scale }), ...(options.refine !== undefined && { kappa: options.refine }), ...(options.name !== undefined && { name: options.name }),
    });
    await writeBundle(options.out, files);
    for (const note of notes) context.note(`note: the classifier: ${note}`);
    context.print(`bundle of ${bundles.length} ${bundles.length === 1 ? 'flow' : 'flows'}${classes > 0 ? `, guided to ${classes} classes,` : ''} in ${options.out}`);
  });
