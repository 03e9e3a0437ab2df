/**
 * The typed intermediate representation of an ONNX model: plain data, no behaviour. Values are objects, so that two
 * graphs can hold values of one name without confusion; names matter only when a graph is written.
 */
import type { Constant } from './constant.js';

/** Element types and their codes in TensorProto.DataType. Those of fewer than 8 bits are packed; of them and of complex numbers no element is ever looked at. */
export const dataTypeCodes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  complex64: 14,
  complex128: 15,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
} as const;
/** Element type of a tensor. */
export type DataType = keyof typeof dataTypeCodes;

/**
 * Extent of an axis: a number, the name of a symbolic extent such as `N`, or a product such as `4*N`. Equal names are equal
 * extents; a name with `?` stands for an extent that nothing names, and is not written.
 */
export type Dim = number | string;
/** Extents of a tensor's axes. */
export type Shape = readonly Dim[];

/** One tensor that flows through a graph. */
export interface Value {
  /** Unique in its graph (and in the graphs around it). */
  name: string;
  /** undefined: not known. */
  dtype: DataType | undefined;
  /** undefined: not even the rank is known. */
  shape: Shape | undefined;
  /**
   * Elements of a small integer tensor as far as they are known without running the graph: numbers, or names of
   * symbolic extents. Lets shape arithmetic be folded.
   */
  content?: readonly Dim[] | undefined;
  /** A type that is no tensor (a sequence, an optional), kept as it was read. */
  otherType?: unknown;
}

/** Attribute of a node, with its ONNX type. */
export type Attribute =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'tensor'; readonly value: Constant }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'ints'; readonly value: readonly number[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  /** Kept as it was read: references in functions, tensors, graphs, sparse tensors. */
  | { readonly type: 'opaque'; readonly value: Uint8Array };

/** One application of an operator. Absent optional inputs and outputs are null. */
export interface Node {
  name: string;
  opType: string;
  /** '' is ai.onnx. */
  domain: string;
  inputs: (Value | null)[];
  outputs: (Value | null)[];
  attributes: Map<string, Attribute>;
  /** Documentation and unknown fields, as they were read; written back unchanged. */
  remainder?: unknown;
}

/** A graph; nodes stand in an order in which every value is made before it is used. */
export interface Graph {
  name: string;
  inputs: Value[];
  outputs: Value[];
  initializers: Map<Value, Constant>;
  nodes: Node[];
  /** Documentation and unknown fields, as they were read; written back unchanged. */
  remainder?: unknown;
}

/** A whole model. */
export interface Model {
  irVersion: number;
  /** Version per operator domain. */
  opsets: Map<string, number>;
  producer: { name: string; version: string };
  docString: string;
  metadata: Map<string, string>;
  graph: Graph;
  /** Model-local functions and unknown fields, as they were read; written back unchanged. */
  remainder?: unknown;
}
