/** The one place where a data set's name in a configuration becomes a data set. */
import { ArgumentError } from '@ratioflow/sdk';
import { openCifar10, type Cifar10Options } from './cifar10.js';
import type { Dataset } from './dataset.js';
import { eightGaussians, gaussian, twentyFiveGaussians } from './gaussians.js';
import type { GaussianOptions } from './gaussians.js';
import { openImageFolder, type ImageFolderOptions } from './image-folder.js';
import { openMnist } from './mnist.js';
import type { MnistOptions, Split } from './mnist.js';
import { openNpySet, type NpyOptions } from './npy-set.js';
import { swissRoll } from './swiss-roll.js';

/** Names of the data sets, as they stand in configurations. */
export const datasetNames = ['swiss-roll', '8-gaussians', '25-gaussians', 'gaussian', 'mnist', 'cifar10', 'images', 'npy'] as const;
export type DatasetName = (typeof datasetNames)[number];
export const splits = ['train', 'test'] as const satisfies readonly Split[];

/** What to open. */
export type DatasetConfig =
  | { readonly name: 'swiss-roll' | '8-gaussians' | '25-gaussians' }
  | ({ readonly name: 'gaussian' } & GaussianOptions)
  | ({ readonly name: 'mnist' } & MnistOptions)
  | ({ readonly name: 'cifar10' } & Cifar10Options)
  | ({ readonly name: 'images' } & ImageFolderOptions)
  | ({ readonly name: 'npy' } & NpyOptions);

/**
 * Opens a data set.
 * @throws {ArgumentError} for a name, split or parameter that is not offered, or a folder without the files
 * @throws {FormatError} for a damaged file
 */
export async function openDataset(config: DatasetConfig): Promise<Dataset> {
  switch (config.name) {
    case 'swiss-roll':
      return swissRoll();
    case '8-gaussians':
      return eightGaussians();
    case '25-gaussians':
      return twentyFiveGaussians();
    case 'gaussian':
      return gaussian(config);
    case 'mnist': {
      if (config.split !== undefined && !splits.includes(config.split)) {
        throw new ArgumentError(`Unknown split ${JSON.stringify(config.split)} of mnist: use one of ${splits.join(', ')}.`);
      }
      return openMnist(config);
    }
    case 'cifar10':
      return openCifar10(config);
    case 'images':
      return openImageFolder(config);
    case 'npy':
      return openNpySet(config);
    default: {
      const { name } = config satisfies never as { readonly name?: unknown };
      throw new ArgumentError(`Unknown data set ${JSON.stringify(name)}: use one of ${datasetNames.join(', ')}.`);
    }
  }
}
