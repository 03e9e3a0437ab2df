/** Stored models of both formats, and what can be wrong with their files. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertGraphModel, convertLayersModel, readTfjsModel, type TfjsModel } from '@ratioflow/export';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { runModel } from '../../support/run-model.js';
import { GraphWriter } from './graph-writer.js';
import { normals } from './parity.js';

let tf: TensorFlow;
let folder: string;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Manifest = { paths: string[]; weights: object[] }[];

/** Writes model.json and weight files. */
async function write(json: object, files: Readonly<Record<string, Uint8Array>> = {}): Promise<string> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'model.json'), JSON.stringify(json));
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
  return folder;
}

const weights = [{ name: 'dense/kernel', shape: [2, 3], dtype: 'float32' }, { name: 'dense/bias', shape: [3], dtype: 'float32' }];
const values = Float32Array.of(1, 2, 3, 4, 5, 6, 0.5, -0.5, 0.25);
const bytes = new Uint8Array(values.buffer);
const topology = {
  class_name: 'Sequential', keras_version: '2.15.0', backend: 'tensorflow',
  config: { name: 'net', layers: [{ class_name: 'Dense', config: { name: 'dense', units: 3, batch_input_shape: [null, 2], activation: 'linear' } }] },
};
const json = (manifest: Manifest, more: object = {}): object => ({ format: 'layers-model', modelTopology: topology, weightsManifest: manifest, ...more });

it('a LayersModel in shards that cut through weights, as tfjs writes it', async () => {
  const path = await write(json([{ paths: ['group1-shard1of2.bin', 'group1-shard2of2.bin'], weights }]), { 'group1-shard1of2.bin': bytes.subarray(0, 10), 'group1-shard2of2.bin': bytes.subarray(10) });
  for (const given of [path, join(path, 'model.json')]) {
    const { format, artifacts } = await readTfjsModel(given);
    expect(format).toBe('layers-model');
    const network = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
    const { model } = await convertLayersModel(network);
    expect(model.graph.inputs[0]!.name).toBe('dense_input');
    const [output] = Object.values(await runModel(model, { [model.graph.inputs[0]!.name]: { data: Float32Array.of(1, 10), shape: [1, 2] } }));
    expect([...output!.data]).toEqual([41.5, 51.5, 63.25]);
  }
});

it('a GraphModel in several groups', async () => {
  const writer = new GraphWriter();
  const x = writer.input('x', [-1, 2]);
  writer.output('y', writer.node('BiasAdd', [writer.node('MatMul', [x, writer.random(2, 3)]), writer.random(3)]));
  const { modelTopology, weightSpecs, weightData, signature } = writer.artifacts();
  await write({ format: 'graph-model', modelTopology, signature, weightsManifest: [{ paths: ['a.bin'], weights: weightSpecs.slice(0, 1) }, { paths: ['b.bin'], weights: weightSpecs.slice(1) }] }, {
    'a.bin': new Uint8Array(weightData, 0, 24), 'b.bin': new Uint8Array(weightData, 24),
  });
  const { format, artifacts } = await readTfjsModel(folder);
  expect(format).toBe('graph-model');
  expect(Buffer.from(artifacts.weightData).equals(Buffer.from(weightData))).toBe(true);
  const data = normals(6);
  const input = { x: { data, shape: [3, 2] } };
  expect(await runModel(convertGraphModel(artifacts), input)).toEqual(await runModel(convertGraphModel(writer.artifacts()), input));
});

describe('refuses', () => {
  const one = (path: string): Manifest => [{ paths: [path], weights }];
  const fails = async (pending: Promise<TfjsModel>, message: RegExp): Promise<void> => {
    await expect(pending).rejects.toMatchObject({ name: 'ModelFormatError', message: expect.stringMatching(message) as string });
  };

  it('paths that lead out of the folder', async () => {
    for (const path of ['../w.bin', '/etc/passwd', 'sub/../../w.bin', 'C:\\w.bin', 'https://example.org/w.bin', '..\\w.bin', '']) {
      await fails(readTfjsModel(await write(json(one(path)))), /outside the model's folder: refused/);
    }
    const elsewhere = await mkdtemp(join(tmpdir(), 'ratioflow-'));
    await writeFile(join(elsewhere, 'w.bin'), bytes);
    await write(json(one('link.bin')));
    await symlink(join(elsewhere, 'w.bin'), join(folder, 'link.bin'));
    await fails(readTfjsModel(folder), /"link.bin" is outside the model's folder: refused/);
    await rm(elsewhere, { recursive: true });
  });

  it('weight files that are missing, too short, too long, or folders', async () => {
    await fails(readTfjsModel(await write(json(one('w.bin')))), /"w.bin" is missing; it belongs beside model.json/);
    await fails(readTfjsModel(await write(json(one('w.bin')), { 'w.bin': bytes.subarray(1) })), /take 36 bytes, w.bin \(35\) has 35: incomplete/);
    await fails(readTfjsModel(await write(json(one('w.bin')), { 'w.bin': new Uint8Array(40) })), /has 40/);
    await mkdir(join(folder, 'sub'));
    await fails(readTfjsModel(await write(json(one('sub')))), /"sub" is no file/);
  });

  it('files that are no model', async () => {
    await fails(readTfjsModel(join(folder, 'nothing')), /there is no such file or folder/);
    await fails(readTfjsModel(folder), /model.json: cannot be read/);
    await writeFile(join(folder, 'model.json'), '{"format": "graph-mo');
    await fails(readTfjsModel(folder), /model.json: is not JSON/);
    await fails(readTfjsModel(await write([])), /holds no object/);
    await fails(readTfjsModel(await write({})), /holds no modelTopology/);
    await fails(readTfjsModel(await write(json([], { format: 'onnx' }))), /format is "onnx"/);
    await fails(readTfjsModel(await write({ ...json([]), weightsManifest: [{ paths: 'w.bin' }] })), /weightsManifest is not a list of groups/);
    await fails(readTfjsModel(await write(json([{ paths: ['w.bin'], weights: [{ name: 'w', shape: [2 ** 40, 2 ** 40], dtype: 'float32' }] }]))), /has the shape/);
  });
});
