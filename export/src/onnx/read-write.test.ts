import { create, toBinary } from '@bufbuild/protobuf';
import { RatioflowError } from '@ratioflow/sdk';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../ir/builder.js';
import { float16Bits, float32, floats, int64, numbersOf } from '../ir/constant.js';
import { newModel } from '../ir/model.js';
import { dataTypeCodes, type DataType, type Model } from '../ir/types.js';
import { ModelProtoSchema } from './generated/onnx_pb.js';
import { readModel } from './read.js';
import { writeModel } from './write.js';

type Message = Parameters<typeof create<typeof ModelProtoSchema>>[1];
const encode = (message: Message): Uint8Array => toBinary(ModelProtoSchema, create(ModelProtoSchema, message));
const withTensor = (tensor: object): Uint8Array => encode({ irVersion: 8n, opsetImport: [{ version: 18n }], graph: { name: 'g', initializer: [{ name: 'w', ...tensor }] } });
const onlyConstant = (bytes: Uint8Array): number[] => numbersOf([...readModel(bytes).graph.initializers.values()][0]!);

function sample(): Model {
  const builder = new GraphBuilder('sample');
  const x = builder.input('x', 'float32', ['N', 3, 8, 8]);
  const w = builder.initializer('w', float32(Float32Array.from({ length: 54 }, (_, i) => Math.sin(i)), [2, 3, 3, 3]));
  const conv = builder.op('Conv', [x, w], { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1], dilations: [1, 1], group: 1 });
  const [values] = builder.ops('TopK', [builder.op('Flatten', [builder.op('LeakyRelu', [conv], { alpha: 0.25 })]), builder.ints([3])], { axis: 1 }, 2);
  builder.output('y', values!);
  return newModel(builder.graph);
}

const type = (elemType: number, ...dims: (number | string)[]): object => ({
  value: { case: 'tensorType', value: { elemType, shape: { dim: dims.map((dim) => ({ value: typeof dim === 'number' ? { case: 'dimValue', value: BigInt(dim) } : { case: 'dimParam', value: dim } })) } } },
});

describe('declared types', () => {
  const product = (declared: object, more: object = {}): Uint8Array => encode({
    irVersion: 8n, opsetImport: [{ version: 18n }],
    graph: {
      name: 'g', input: [{ name: 'x', type: type(1, 'N', 3, 4) }], initializer: [{ name: 'w', dims: [4n, 5n], dataType: 1, floatData: Array.from({ length: 20 }, () => 1) }],
      node: [{ opType: 'MatMul', name: 'product', input: ['x', 'w'], output: ['h'] }, { opType: 'Relu', name: 'last', input: ['h'], output: ['y'] }], output: [{ name: 'y' }], valueInfo: [{ name: 'h', type: declared }], ...more,
    },
  });

  it.each([
    ['an extent', product(type(1, 'N', 3, 6)), 'MatMul node "product": "h" is float32 [N, 3, 5], but the model declares it as float32 [N, 3, 6].'],
    ['the rank', product(type(1, 'N', 15)), 'MatMul node "product": "h" is float32 [N, 3, 5], but the model declares it as float32 [N, 15].'],
    ['the element type', product(type(11, 'N', 3, 5)), 'MatMul node "product": "h" is float32 [N, 3, 5], but the model declares it as float64 [N, 3, 5].'],
    ['an output', product(type(1, 'N', 3, 5), { output: [{ name: 'y', type: type(1, 'N', 3) }] }), 'Relu node "last": "y" is float32 [N, 3, 5], but the model declares it as float32 [N, 3].'],
    ['a default', product(type(1, 'N', 3, 5), { input: [{ name: 'x', type: type(1, 'N', 3, 4) }, { name: 'w', type: type(1, 5, 4) }] }), 'Tensor "w": "w" is float32 [4, 5], but the model declares it as float32 [5, 4].'],
  ])('are refused where they contradict: %s', (_, bytes, message) => {
    expect(() => readModel(bytes)).toThrow(message);
  });

  it.each([['an extent', type(1, 2, 3, 5)], ['other symbols', type(1, 'batch', 'rows', 'columns')], ['nothing', {}], ['no element type', type(0, 'N', 3, 5)]])('may leave open what is inferred, or fix a symbol: %s', (_, declared) => {
    expect(readModel(product(declared)).graph.outputs[0]!.shape).toEqual(['N', 3, 5]);
  });
});

describe('branches with a known condition', () => {
  const identity = (input: string, output: string, opType = 'Identity'): object => ({ opType, name: opType.toLowerCase(), input: [input], output: [output] });
  const branching = (condition: object): Uint8Array => encode({
    irVersion: 8n, opsetImport: [{ version: 18n }],
    graph: {
      name: 'g', input: [{ name: 'x', type: { value: { case: 'tensorType', value: { elemType: 1, shape: { dim: [{ value: { case: 'dimValue', value: 4n } }] } } } } }],
      output: [{ name: 'y' }], ...condition,
      node: [
        identity('x', 'h', 'Neg'),
        {
          opType: 'If', name: 'choice', input: ['c'], output: ['z'],
          attribute: [
            { name: 'then_branch', type: 5, g: { name: 't', node: [identity('h', 't', 'Exp'), identity('t', 'r', 'Sin')], output: [{ name: 'r' }] } },
            { name: 'else_branch', type: 5, g: { name: 'e', node: [identity('x', 't', 'Cos')], output: [{ name: 't' }] } },
          ],
        },
        // A name that the branch has, too.
        identity('z', 't', 'Tanh'), identity('t', 'y', 'Relu'),
      ],
    },
  });

  it.each([[1, ['Neg', 'Exp', 'Sin', 'Identity', 'Tanh', 'Relu']], [0, ['Neg', 'Cos', 'Identity', 'Tanh', 'Relu']]])('become the branch that %i takes', (condition, expected) => {
    const { graph } = readModel(branching({ initializer: [{ name: 'c', dims: [], dataType: 9, int32Data: [condition] }] }));
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(expected);
    const names = graph.nodes.flatMap(({ outputs }) => outputs.map((value) => value!.name));
    expect(new Set(names).size).toBe(names.length);
    // Every node reads what the node before it made.
    graph.nodes.slice(2).forEach((node, index) => { if (condition === 1 || index > 0) expect(node.inputs[0]).toBe(graph.nodes[index + 1]!.outputs[0]); });
    expect(graph.nodes.at(-1)!.outputs[0]!.shape).toEqual([4]);
  });

  it('stay where the condition is an input', () => {
    const { graph } = readModel(branching({ input: [{ name: 'x', type: type(1, 4) }, { name: 'c' }] }));
    expect(graph.nodes.map(({ opType }) => opType)).toEqual(['Neg', 'If', 'Tanh', 'Relu']);
    // Both branches make four numbers.
    expect(graph.outputs[0]).toMatchObject({ dtype: 'float32', shape: [4] });
  });
});

describe('reading', () => {
  it.each<[DataType, object, number[]]>([
    ['float32', { floatData: [1.5, -2] }, [1.5, -2]],
    ['float64', { doubleData: [0.1, -1e300] }, [0.1, -1e300]],
    ['int64', { int64Data: [-(2n ** 63n), 5n] }, [-(2 ** 63), 5]],
    ['uint64', { uint64Data: [2n ** 64n - 1n, 1n] }, [2 ** 64, 1]],
    ['uint32', { uint64Data: [4294967295n, 0n] }, [4294967295, 0]],
    ['int32', { int32Data: [-7, 2147483647] }, [-7, 2147483647]],
    ['int16', { int32Data: [-3, 4] }, [-3, 4]],
    ['uint16', { int32Data: [65535, 1] }, [65535, 1]],
    ['int8', { int32Data: [-128, 127] }, [-128, 127]],
    ['uint8', { int32Data: [255, 0] }, [255, 0]],
    ['bool', { int32Data: [1, 0] }, [1, 0]],
    ['float16', { int32Data: [float16Bits(0.5), float16Bits(-65504)] }, [0.5, -65504]],
    ['bfloat16', { int32Data: [0x3f80, 0xc040] }, [1, -3]],
  ])('takes %s from its typed field', (dtype, fields, expected) => {
    expect(onlyConstant(withTensor({ dims: [2n], dataType: dataTypeCodes[dtype], ...fields }))).toEqual(expected);
  });

  it('reads numbers at any place of a file, also from a Node Buffer', () => {
    // Buffers share pooled memory, and their slice() does not copy: offsets inside must not matter.
    const bytes = withTensor({ dims: [1n], dataType: dataTypeCodes.int64, rawData: new Uint8Array(BigInt64Array.of(77n).buffer) });
    const pooled = Buffer.from([...new Uint8Array(13), ...bytes]).subarray(13);
    expect(onlyConstant(pooled)).toEqual([77]);
  });

  it.each([
    ['no bytes', new Uint8Array(), /hold no graph/],
    ['a text', new TextEncoder().encode('this is no model, it is a text'), /are no ONNX model|hold no graph/],
    ['too few elements', withTensor({ dims: [3n], dataType: 1, floatData: [1] }), /"w" of shape \[3\] holds 4 bytes, expected 12/],
    ['a negative extent', withTensor({ dims: [-1n], dataType: 1 }), /"w" has the shape \[-1\]/],
    ['an absurd shape', withTensor({ dims: [2n ** 40n, 2n ** 40n], dataType: 1, rawData: new Uint8Array(4) }), /"w" has the shape/],
    ['an unknown element type', withTensor({ dims: [1n], dataType: 99 }), /element type 99/],
    ['a missing value', encode({ graph: { node: [{ opType: 'Relu', name: 'r', input: ['nowhere'], output: ['y'] }] } }), /Relu node "r": its input "nowhere" is made by nothing before it/],
    ['a cycle', encode({ graph: { node: [{ opType: 'Relu', name: 'a', input: ['q'], output: ['p'] }, { opType: 'Relu', name: 'b', input: ['p'], output: ['q'] }] } }), /Relu node "a"/],
    ['a name twice', encode({ graph: { input: [{ name: 'x' }], node: [{ opType: 'Relu', input: ['x'], output: ['x'] }] } }), /"x" is defined twice/],
    ['an output that nothing makes', encode({ graph: { output: [{ name: 'y' }] } }), /Output "y" .* is made by no node/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => readModel(bytes)).toThrow(message);
    expect(() => readModel(bytes)).toThrow(RatioflowError);
  });

  it.each(['../weights.bin', '/etc/weights.bin', 'a/../../b', 'C:\\weights.bin', '..\\w', ''])('refuses external data at %j', (location) => {
    const bytes = withTensor({ dims: [1n], dataType: 1, dataLocation: 1, externalData: [{ key: 'location', value: location }] });
    expect(() => readModel(bytes)).toThrow(/outside the model's folder: refused/);
  });

  it('keeps external data as a reference, after checking its length', () => {
    const place = (length: string): object => ({ dims: [2n], dataType: 1, dataLocation: 1, externalData: [{ key: 'location', value: 'w.bin' }, { key: 'offset', value: '64' }, { key: 'length', value: length }] });
    expect([...readModel(withTensor(place('8'))).graph.initializers.values()][0]!.data).toEqual({ location: 'w.bin', offset: 64, length: 8 });
    expect(() => readModel(withTensor(place('9')))).toThrow(/needs 8 bytes, its external data has 9/);
    expect(() => readModel(withTensor(place('-8')))).toThrow(/external length is "-8"/);
  });

  it('inlines local functions, attributes and nested calls included', () => {
    const call = { domain: 'local', opType: 'Twice', name: 'call', input: ['x'], output: ['y'], attribute: [{ name: 'slope', type: 1, f: 0.5 }] };
    const functions = [
      { domain: 'local', name: 'Twice', input: ['a'], output: ['b'], attribute: ['slope'], node: [{ domain: 'local', opType: 'Leaky', input: ['a'], output: ['t'], attribute: [{ name: 's', refAttrName: 'slope', type: 1 }] }, { opType: 'Add', input: ['t', 't'], output: ['b'] }] },
      { domain: 'local', name: 'Leaky', input: ['a'], output: ['b'], attribute: ['s'], node: [{ opType: 'LeakyRelu', input: ['a'], output: ['b'], attribute: [{ name: 'alpha', refAttrName: 's', type: 1 }] }] },
    ];
    const model = readModel(encode({ opsetImport: [{ version: 18n }, { domain: 'local', version: 1n }], functions, graph: { input: [{ name: 'x' }], output: [{ name: 'y' }], node: [call] } }));
    expect(model.graph.nodes.map((node) => node.opType)).toEqual(['LeakyRelu', 'Add']);
    expect(model.graph.nodes[0]!.attributes.get('alpha')).toEqual({ type: 'float', value: 0.5 });
    expect([...model.opsets.keys()]).toEqual(['']);
  });

  it('refuses functions that call themselves or multiply without end', () => {
    const itself = [{ domain: 'local', name: 'F', input: ['a'], output: ['b'], node: [{ domain: 'local', opType: 'F', input: ['a'], output: ['b'] }] }];
    const node = [{ domain: 'local', opType: 'F', input: ['x'], output: ['y'] }];
    expect(() => readModel(encode({ functions: itself, graph: { input: [{ name: 'x' }], node } }))).toThrow(/calls itself/);
  });
});

describe('writing', () => {
  it('gives back what was read, byte for byte after the first time', () => {
    const bytes = writeModel(sample());
    expect(writeModel(readModel(bytes))).toEqual(bytes);
  });

  it('keeps types, constants, attributes and symbolic extents', () => {
    const model = readModel(writeModel(sample()));
    expect(model.graph.inputs[0]).toMatchObject({ name: 'x', dtype: 'float32', shape: ['N', 3, 8, 8] });
    expect(model.graph.outputs[0]).toMatchObject({ name: 'y', shape: ['N', 3] });
    expect(model.graph.nodes.map((node) => node.opType)).toEqual(['Conv', 'LeakyRelu', 'Flatten', 'TopK']);
    expect(model.graph.nodes[1]!.attributes.get('alpha')).toEqual({ type: 'float', value: 0.25 });
  });

  it('keeps integers at the ends of int64', () => {
    const builder = new GraphBuilder('ends');
    const x = builder.input('x', 'float32', [4]);
    builder.output('y', builder.op('Slice', [x, builder.ints([0]), builder.constant(int64([2 ** 63 - 1024])), builder.ints([0])]));
    expect(onlyConstant(writeModel({ ...newModel(builder.graph), graph: { ...builder.graph, nodes: [], outputs: [], initializers: new Map([...builder.graph.initializers].slice(1, 2)) } }))).toEqual([2 ** 63 - 1024]);
  });

  it('keeps what it does not understand: documentation, metadata, other types, unknown attributes', () => {
    const bytes = encode({
      irVersion: 9n, producerName: 'p', producerVersion: '1', domain: 'org.example', modelVersion: 3n, docString: 'about', metadataProps: [{ key: 'k', value: 'v' }], opsetImport: [{ domain: '', version: 18n }],
      graph: {
        name: 'g', docString: 'graph', input: [{ name: 'x' }], output: [{ name: 'y' }],
        node: [{ opType: 'Strange', name: 'n', domain: 'org.example', docString: 'node', input: ['x'], output: ['y'], attribute: [{ name: 'several', type: 9, tensors: [{ dims: [1n], dataType: 1, floatData: [1] }] }] }],
      },
    });
    expect(writeModel(readModel(bytes))).toEqual(bytes);
  });

  it.each(['float16', 'float32', 'float64'] as const)('keeps %s constants exactly', (dtype) => {
    fc.assert(fc.property(fc.array(fc.float({ noNaN: true }), { maxLength: 8 }), (values) => {
      const builder = new GraphBuilder('constants');
      const constant = floats(dtype, values);
      builder.output('y', builder.op('Identity', [builder.initializer('w', constant)]));
      const [read] = readModel(writeModel(newModel(builder.graph))).graph.initializers.values();
      expect(numbersOf(read!)).toEqual(numbersOf(constant));
    }), { numRuns: 50 });
  });
});

describe('hostile bytes', () => {
  const bytes = writeModel(sample());
  const readsOrRefuses = (candidate: Uint8Array): void => {
    try {
      writeModel(readModel(candidate));
    } catch (error) {
      // Whatever is wrong comes out as one of our own errors.
      if (!(error instanceof RatioflowError)) throw error;
    }
  };

  it('are refused by name when truncated anywhere', () => {
    for (let length = 0; length < bytes.length; length++) readsOrRefuses(bytes.slice(0, length));
  });

  it('are refused by name when changed anywhere', () => {
    const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 });
    fc.assert(fc.property(changes, (list) => {
      const changed = bytes.slice();
      for (const [at, value] of list) changed[at] = value;
      readsOrRefuses(changed);
    }), { numRuns: 1500 });
  });

  it('are refused by name when they are noise', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readsOrRefuses), { numRuns: 500 });
  });
});
