/** `ratioflow gradient`: adds the input gradient to any ONNX model. */
import { dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { Context } from '../context.js';
import { collect } from '../parsers.js';

interface Options {
  readonly out: string;
  readonly of?: string;
  readonly wrt: string[];
  readonly seed?: boolean;
  readonly zeros?: boolean;
}

export const gradientCommand = (context: Context): Command => new Command('gradient')
  .description('add the gradient of the sum of an output as output grad_<input> to an ONNX model; everything else stays')
  .argument('<model.onnx>', 'the model')
  .requiredOption('-o, --out <grad.onnx>', 'the model with its gradient; beside the original, weights in a file of their own stay there')
  .option('--of <output>', 'output to differentiate (default: the only one)')
  .addOption(new Option('--wrt <input>', 'input to differentiate with respect to; may be repeated').argParser(collect(String)).default([], 'the only floating-point one'))
  .option('--seed', 'add an input seed_<output> that the output is multiplied with before summing: a vector-Jacobian product')
  .option('--zeros', 'answer zero for an input that no differentiable path leads from, instead of refusing')
  .action(async (path: string, options: Options) => {
    const { gradient, readModelFile, writeModel } = await import('@ratioflow/export');
    const { writeFileAtomic } = await import('@ratioflow/node');
    // Weights outside the model stay there, whatever their size; for another folder they are read, and written into the model.
    const beside = dirname(resolve(options.out)) === dirname(resolve(path));
    const model = await readModelFile(path, beside ? { keepBeyond: 65536 } : {});
    const differentiated = gradient(model, { ...(options.of !== undefined && { of: options.of }), ...(options.wrt.length > 0 && { wrt: options.wrt }), ...(options.seed && { seed: true }), ...(options.zeros && { zeros: true }) });
    await writeFileAtomic(options.out, writeModel(differentiated));
    context.print(`${options.out}: ${differentiated.graph.outputs.map(({ name, shape }) => `${name} [${shape?.join(', ') ?? '?'}]`).join(', ')}`);
  });
