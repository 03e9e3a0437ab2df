/** `ratioflow inspect`: what a bundle holds. */
import { Command } from 'commander';
import type { Manifest } from '@ratioflow/sdk';
import type { Context } from '../context.js';
import { bytes, table } from '../text.js';

export const inspectCommand = (context: Context): Command => new Command('inspect')
  .description('show what a bundle holds')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .option('--json', 'print the checked manifest as JSON')
  .action(async (bundle: string, { json }: { readonly json?: boolean }) => {
    const { readManifest } = await import('@ratioflow/sdk');
    const { bundleSource } = await import('@ratioflow/node');
    const manifest = await readManifest(await bundleSource(bundle));
    for (const line of json ? [JSON.stringify(manifest, null, 2)] : describe(manifest)) context.print(line);
  });

function describe(manifest: Manifest): string[] {
  const { sampleShape, valueRange, prior, classNames, training, files, guidance, mixture, unrolled } = manifest;
  const isImage = sampleShape.length === 3;
  const total = Object.values(files).reduce((sum, { size }) => sum + size, 0);
  const rows: [string, string][] = [
    ['name', manifest.name],
    ['samples', `${isImage ? `images [C, H, W] = [${sampleShape.join(', ')}]` : `points [D] = [${sampleShape.join(', ')}]`}, ${valueRange === null ? 'not clamped' : `clamped to [${valueRange.join(', ')}]`}`],
    ['pairing', manifest.pairing],
    ['flow', `${manifest.K} bridging and ${manifest.kappa} refinement steps, eta ${manifest.eta}, nu ${manifest.nu}`],
    ['prior', `${prior.kind} (z ${prior.z})`],
    ...(classNames === null ? [] : [['classes', classNames.join(', ')] as [string, string]]),
    ...(guidance === undefined ? [] : [['guidance', `by a classifier, classes 0 to ${guidance.classes - 1}, scale phi ${guidance.scale}`] as [string, string]]),
    ...(mixture === undefined ? [] : [['estimators', `${mixture.length}, of weights ${mixture.join(', ')}`] as [string, string]]),
    ...(unrolled === undefined ? [] : [['unrolled', `sampler-unrolled.onnx takes ${unrolled} steps`] as [string, string]]),
    ['format', `version ${manifest.formatVersion}, ONNX opset ${manifest.opset}`],
    ['checks', `${manifest.verification.length} verification vectors`],
  ];
  if (training !== null) {
    rows.push(['trained on', `${training.dataset}, ${training.iterations} iterations, seed ${training.seed}`]);
    rows.push(['with', Object.entries(training.versions).map(([name, version]) => `${name} ${version}`).join(', ') || 'versions not recorded']);
  }
  return [
    ...table(rows),
    ...(manifest.departures?.map((line) => `beyond the emission profile: ${line}`) ?? []),
    `files (${bytes(total)})`,
    ...table(Object.entries(files).map(([name, { size, sha256 }]) => [name, `${bytes(size).padStart(8)}  sha256 ${sha256.slice(0, 12)}`]), '  '),
  ];
}
