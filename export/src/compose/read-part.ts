/** What composition takes from a bundle: its manifest, drift and prior, with every weight in memory once. */
import { BundleError, graphFiles, readManifest, sha256, weightsFile, type BundleSource, type Manifest } from '@ratioflow/sdk';
import type { Constant } from '../ir/constant.js';
import { inline } from '../ir/inline.js';
import type { Graph } from '../ir/types.js';
import { readModel } from '../onnx/read.js';
import type { Prior } from '../products/prior.js';

export interface Part {
  readonly manifest: Manifest;
  /** x → logRatio, drift. */
  readonly gradient: Graph;
  readonly prior: Prior;
}

/** @throws {BundleError} for a bundle that is damaged, or a composition itself */
export async function readPart(source: BundleSource): Promise<Part> {
  const manifest = await readManifest(source);
  if (manifest.guidance ?? manifest.mixture) throw new BundleError(`${source.location} is a composition itself: compose the bundles that it was made of.`);
  const read = async (name: string): Promise<Uint8Array> => {
    const bytes = await source.read(name, manifest.files[name]!.size);
    if (await sha256(bytes) !== manifest.files[name]!.sha256) throw new BundleError(`${source.location}: ${name} is not what the manifest says: the bundle is damaged; copy or export it again.`);
    return bytes;
  };
  const weights = Object.hasOwn(manifest.files, weightsFile) ? await read(weightsFile) : new Uint8Array(0);
  const load = async (name: string): Promise<Graph> => {
    const { graph } = readModel(await read(name));
    for (const [value, constant] of graph.initializers) graph.initializers.set(value, loaded(constant, weights, `${source.location}: ${name}`));
    return graph;
  };
  const [gradient, prior] = [await load(graphFiles.gradient), await load(graphFiles.prior)];
  const [z] = prior.inputs;
  const outputs = ['logRatio', 'drift'].map((name) => gradient.outputs.find((value) => value.name === name));
  if (gradient.inputs.length !== 1 || prior.inputs.length !== 1 || !z || prior.outputs.length !== 1 || outputs.includes(undefined)) {
    throw new BundleError(`${source.location}: its gradient or prior graph has other inputs and outputs than a bundle's.`);
  }
  return {
    manifest,
    gradient: { ...gradient, outputs: outputs.map((value) => value!) },
    prior: { record: manifest.prior, apply: (builder, value) => inline(builder, prior, new Map([[z, value]]))[0]! },
  };
}

function loaded(constant: Constant, weights: Uint8Array, where: string): Constant {
  if (constant.data instanceof Uint8Array || !('location' in constant.data)) return constant;
  const { location, offset, length } = constant.data;
  if (location !== weightsFile || offset + length > weights.byteLength) throw new BundleError(`${where} wants bytes ${offset} to ${offset + length} of ${JSON.stringify(location)}; allowed: ${weightsFile}, which has ${weights.byteLength}.`);
  return { ...constant, data: weights.subarray(offset, offset + length) };
}
