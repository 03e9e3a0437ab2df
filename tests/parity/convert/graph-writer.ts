/** Writes TensorFlow graphs node by node, and compares converted ones with tfjs. */
import { assertEmissionProfile, convertGraphModel, writeModel, type ConvertGraphOptions, type Model, type TfjsArtifacts, type WeightSpec } from '@ratioflow/export';
import type { Tensor } from '@tensorflow/tfjs';
import * as ort from 'onnxruntime-node';
import { expect } from 'vitest';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { relativeError } from '../../support/run-model.js';
import { normals, toChannelsFirst } from './parity.js';

type AttributeInput = number | boolean | string | readonly number[] | readonly string[] | { readonly f: number } | { readonly type: string } | { readonly func: { readonly name: string } };

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function attribute(value: AttributeInput): object {
  if (typeof value === 'number') return { i: String(value) };
  if (typeof value === 'boolean') return { b: value };
  if (typeof value === 'string') return { s: base64(value) };
  if (!Array.isArray(value)) return value;
  const items = value as readonly (number | string)[];
  return typeof items[0] === 'string' ? { list: { s: items.map((item) => base64(String(item))) } } : { list: { i: items.map(String) } };
}

/** A graph in the making; every method returns the name of the node that it adds. */
export class GraphWriter {
  readonly nodes: object[] = [];
  readonly specs: WeightSpec[] = [];
  readonly parts: ArrayBuffer[] = [];
  readonly inputs: Record<string, object> = {};
  readonly outputs: Record<string, object> = {};
  readonly functions: object[] = [];

  input(name: string, shape: readonly number[], type = 'DT_FLOAT'): string {
    this.nodes.push({ name, op: 'Placeholder', attr: { dtype: { type }, shape: { shape: { dim: shape.map((size) => ({ size: String(size) })) } } } });
    this.inputs[name] = { name: `${name}:0` };
    return name;
  }

  constant(data: Float32Array | Int32Array, shape: readonly number[], quantization?: WeightSpec['quantization'], bytes: Uint8Array | Uint16Array | null = null): string {
    const name = `const_${this.specs.length}`;
    const dtype = data instanceof Int32Array ? 'int32' : 'float32';
    this.nodes.push({ name, op: 'Const', attr: { dtype: { type: dtype === 'int32' ? 'DT_INT32' : 'DT_FLOAT' } } });
    this.specs.push({ name, dtype, shape, ...(quantization && { quantization }) });
    const source = bytes ?? data;
    this.parts.push(new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice().buffer);
    return name;
  }

  random(...shape: number[]): string {
    return this.constant(normals(shape.reduce((a, b) => a * b, 1)), shape);
  }

  positive(...shape: number[]): string {
    return this.constant(normals(shape.reduce((a, b) => a * b, 1)).map((value) => 0.5 + Math.abs(value)), shape);
  }

  ints(...values: number[]): string {
    return this.constant(Int32Array.from(values), [values.length]);
  }

  int(value: number): string {
    return this.constant(Int32Array.of(value), []);
  }

  node(op: string, input: readonly string[], attr: Readonly<Record<string, AttributeInput>> = {}): string {
    const name = `${op}_${this.nodes.length}`;
    this.nodes.push({ name, op, input, attr: { T: { type: 'DT_FLOAT' }, ...Object.fromEntries(Object.entries(attr).map(([key, value]) => [key, attribute(value)])) } });
    return name;
  }

  /**
   * A function of one result in the library.
   * @param build adds its nodes to a writer of its own, given the names of its parameters, and returns the result as `node:output:place`
   */
  define(name: string, parameters: readonly string[], build: (body: GraphWriter, ...parameters: string[]) => string): void {
    const body = new GraphWriter();
    const result = build(body, ...parameters);
    this.functions.push({ signature: { name, inputArg: parameters.map((parameter) => ({ name: parameter })), outputArg: [{ name: 'result' }] }, nodeDef: body.nodes, ret: { result } });
    // As in files: weights of all functions lie with those of the graph.
    this.specs.push(...body.specs);
    this.parts.push(...body.parts);
  }

  output(name: string, node: string): void {
    this.outputs[name] = { name: node.includes(':') ? node : `${node}:0` };
  }

  artifacts(): TfjsArtifacts & { weightData: ArrayBuffer } {
    const weightData = Buffer.concat(this.parts.map((part) => Buffer.from(part)));
    return {
      format: 'graph-model',
      modelTopology: { node: this.nodes, library: { function: this.functions }, versions: { producer: 1 } },
      weightSpecs: this.specs,
      weightData: weightData.buffer.slice(weightData.byteOffset, weightData.byteOffset + weightData.byteLength),
      signature: { inputs: this.inputs, outputs: this.outputs },
    };
  }
}

export interface GraphParityOptions extends ConvertGraphOptions {
  /** Extents of the inputs. @default those of the placeholders, with a batch of 2 */
  readonly shapes?: readonly (readonly number[])[];
  /** What tfjs computes instead: the same map in operators that it has. */
  readonly reference?: GraphWriter;
}

/** Asserts that the converted graph computes what tfjs computes; returns the converted model. */
export async function expectGraphParity(tf: TensorFlow, writer: GraphWriter, options: GraphParityOptions = {}): Promise<Model> {
  const { shapes, reference = writer, ...convert } = options;
  const artifacts = writer.artifacts();
  const graph = await tf.loadGraphModel(tf.io.fromMemory(reference.artifacts()));
  const inputs = graph.inputs.map(({ shape }, index) => {
    const extents = [...(shapes?.[index] ?? shape!.map((dim) => (dim < 0 ? 2 : dim)))];
    return tf.tensor(normals(extents.reduce((a, b) => a * b, 1)), extents);
  });
  const names = Object.values(reference.outputs).map((output) => (output as { name: string }).name);
  const executed = graph.execute(Object.fromEntries(graph.inputs.map(({ name }, index) => [name, inputs[index]!])), names);
  const expected: Tensor[] = Array.isArray(executed) ? executed : [executed];
  const model = convertGraphModel(artifacts, convert);
  assertEmissionProfile('the converted graph', model);
  const arranged = (tensor: Tensor): { data: Float32Array | Int32Array; shape: readonly number[] } => {
    const array = { data: tensor.dataSync<'float32'>(), shape: tensor.shape };
    return tensor.rank >= 4 ? toChannelsFirst(array) : array;
  };
  for (const graphOptimizationLevel of ['disabled', 'all'] as const) {
    const session = await ort.InferenceSession.create(writeModel(model), { graphOptimizationLevel, logSeverityLevel: 3, intraOpNumThreads: 1 });
    const results = await session.run(Object.fromEntries(inputs.map((tensor, index) => {
      const { data, shape } = arranged(tensor);
      return [Object.keys(writer.inputs)[index]!, new ort.Tensor('float32', Float32Array.from(data), [...shape])];
    })));
    Object.keys(writer.outputs).forEach((name, index) => {
      const { data, shape } = arranged(expected[index]!);
      expect([...results[name]!.dims], name).toEqual(shape);
      expect(relativeError(results[name]!.data as Float32Array, data), `${name} at ${graphOptimizationLevel}`).toBeLessThan(1e-5);
    });
    await session.release();
  }
  return model;
}
