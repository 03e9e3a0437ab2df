/**
 * Verification vectors: inputs drawn by the noise specification (purpose testVectors) and the outputs that a reference
 * engine computes for them, for every graph of a bundle.
 */
import {
  encodeNpy, fillNormals, fillUniforms, graphFiles, purposes, weightsFile,
  type GraphName, type PriorRecord, type Runtime, type Tensor, type VerificationVector,
} from '@ratioflow/sdk';

interface Subject {
  readonly sampleShape: readonly number[];
  readonly prior: PriorRecord;
  readonly eta: number;
  readonly nu: number;
  readonly reference: Runtime;
}

/** Samples per vector: more than one, so that a batch axis that is lost shows. */
const samples = 3;
/** Steps of the sampler's vector. */
const steps = 2;
const seed = 0n;

export async function verificationVectors(
  files: ReadonlyMap<string, Uint8Array>, subject: Subject,
): Promise<{ vectors: VerificationVector[]; files: Map<string, Uint8Array> }> {
  const length = subject.sampleShape.reduce((a, b) => a * b, 1);
  const shape = [samples, ...subject.sampleShape];
  const arrays = new Map<string, Uint8Array>();
  const vectors: VerificationVector[] = [];

  const record = async (graph: GraphName, inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> => {
    const session = await subject.reference.load(
      { name: graphFiles[graph], model: files.get(graphFiles[graph])!, externalData: new Map([[weightsFile, files.get(weightsFile)!]]) },
      { optimization: 'disabled' },
    );
    try {
      const outputs = await session.run(inputs);
      const store = (tensors: Readonly<Record<string, Tensor>>): Record<string, string> =>
        Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => {
          const file = `verify/${graph}.${name}.npy`;
          arrays.set(file, encodeNpy(tensor));
          return [name, file];
        }));
      vectors.push({ graph, inputs: store(inputs), outputs: store(outputs) });
      return outputs;
    } finally {
      await session.dispose();
    }
  };

  const z = new Float32Array(samples * length);
  (subject.prior.z === 'uniform' ? fillUniforms : fillNormals)(z, { seed, purpose: purposes.testVectors, step: 0 }, { count: samples, elements: length });
  const normals = (step: number): Float32Array => {
    const values = new Float32Array(samples * length);
    fillNormals(values, { seed, purpose: purposes.testVectors, step }, { count: samples, elements: length });
    return values;
  };
  const noise = new Float32Array(steps * samples * length);
  for (let step = 0; step < steps; step++) noise.set(normals(1 + step), step * samples * length);

  const { x0 } = await record('prior', { z: { shape: [samples, length], data: z } });
  const x: Tensor = { shape, data: x0!.data };
  const schedule = { eta: { shape: [], data: Float32Array.of(subject.eta) }, nu: { shape: [], data: Float32Array.of(subject.nu) } };
  await record('ratio', { x });
  await record('gradient', { x });
  await record('step', { x, noise: { shape, data: noise.subarray(0, samples * length) }, ...schedule });
  await record('sampler', { x0: x, noise: { shape: [steps, ...shape], data: noise }, ...schedule });
  return { vectors, files: arrays };
}
