/**
 * Moves a reordering of features into weights: Transpose → Reshape [N, D] → matrix product takes the order into the rows
 * of its weight, matrix product → Reshape → Transpose into its columns, whatever works feature by feature in between.
 */
import type { Constant } from '../ir/constant.js';
import { float32, int64 } from '../ir/constant.js';
import type { Graph, Node, Value } from '../ir/types.js';
import { intOf, intsOf } from '../ops/operator.js';
import type { Links } from './fold-transposes.js';
import { permuted } from './weights.js';

type Arrange = (data: Float32Array) => Float32Array;
type Arranged = Map<Value, Arrange>;

const unary = new Set([
  'Abs', 'Cast', 'Clip', 'Elu', 'Erf', 'Exp', 'HardSigmoid', 'Identity', 'LeakyRelu', 'Neg', 'Relu', 'Selu', 'Sigmoid', 'Softplus', 'Softsign',
  'Sqrt', 'Tanh', 'ThresholdedRelu',
]);
const binary = new Set(['Add', 'Div', 'Max', 'Min', 'Mul', 'Pow', 'PRelu', 'Sub']);

const lengthOf = (value: Value): number | undefined => value.shape?.every((dim) => typeof dim === 'number') ? (value.shape as number[]).reduce((a, b) => a * b, 1) : undefined;
const fixedTail = (value: Value): number[] | undefined => {
  const tail = value.shape?.slice(1);
  return tail?.every((dim) => typeof dim === 'number') ? (tail) : undefined;
};

/** What is to be done once a region has been found fit. */
class Plan {
  readonly #graph: Graph;
  readonly #links: Links;
  readonly #order: readonly number[];
  readonly #constants = new Map<Value, Arrange>();
  readonly members = new Set<Node>();

  /** @param order place in the old order of each feature of the new one */
  constructor(graph: Graph, links: Links, order: readonly number[]) {
    this.#graph = graph;
    this.#links = links;
    this.#order = order;
  }

  /** Notes that rows of `width` elements of this constant follow the order, `outer` times over. */
  reorder(value: Value | null | undefined, node: Node, outer: number, width: number): boolean {
    if (!value) return true;
    const constant = this.#graph.initializers.get(value);
    if (constant?.dtype !== 'float32' || !(constant.data instanceof Uint8Array) || this.#graph.inputs.includes(value)) return false;
    const order = this.#order;
    const data = elements(constant);
    if (data.length !== outer * order.length * width) return false;
    if (data.every((element) => element === data[0])) return true;
    if (this.#links.users.get(value)!.some((user) => user !== node)) return false;
    this.#constants.set(value, (source) => {
      const result = new Float32Array(source.length);
      const block = order.length * width;
      for (let i = 0; i < outer; i++) order.forEach((from, to) => result.set(source.subarray(i * block + from * width, i * block + (from + 1) * width), i * block + to * width));
      return result;
    });
    return true;
  }

  /** Whether this node works feature by feature on values of the region. */
  admits(node: Node, region: ReadonlySet<Value>): boolean {
    this.members.add(node);
    if (unary.has(node.opType)) return region.has(node.inputs[0]!) && node.inputs.slice(1).every((input) => !input || lengthOf(input) === 1);
    if (node.opType === 'BatchNormalization') return region.has(node.inputs[0]!) && node.inputs.slice(1).every((input) => this.reorder(input, node, 1, 1));
    if (!binary.has(node.opType)) return false;
    return node.inputs.every((input) => !!input && (region.has(input) || (this.#graph.initializers.has(input) && lengthOf(input) === 1) || this.reorder(input, node, 1, 1)));
  }

  apply(arranged: Arranged): void {
    for (const [value, arrange] of this.#constants) {
      const constant = this.#graph.initializers.get(value)!;
      this.#graph.initializers.set(value, float32(arrange(elements(constant)), constant.dims));
      const before = arranged.get(value);
      arranged.set(value, before ? (data) => arrange(before(data)) : arrange);
    }
  }
}

function elements(constant: Constant): Float32Array {
  const bytes = (constant.data as Uint8Array).slice();
  return new Float32Array(bytes.buffer, 0, bytes.byteLength / 4);
}

/** Place in the order of `from` (extents) of each element in the order of its axes permuted by `perm`. */
function orderOf(from: readonly number[], perm: readonly number[]): number[] {
  const length = from.reduce((a, b) => a * b, 1);
  // Beyond this float32 does not count: such a Transpose stays.
  return length >= 2 ** 24 ? [] : Array.from(permuted(Float32Array.from({ length }, (_, index) => index), from, perm).data);
}

const keepsBatch = (perm: readonly number[]): boolean => perm[0] === 0;
const isMatrix = (value: Value | null | undefined): boolean => value?.shape?.length === 2;

/** Transpose → Reshape [N, D] → … → matrix products. */
export function absorbFlatten(graph: Graph, links: Links, transpose: Node, arranged: Arranged): boolean {
  const perm = intsOf(transpose, 'perm')!;
  const [x, y] = [transpose.inputs[0]!, transpose.outputs[0]!];
  const extents = fixedTail(y);
  if (!keepsBatch(perm) || !extents || graph.outputs.includes(y)) return false;
  let changed = false;
  for (const flatten of links.users.get(y) ?? []) {
    const flat = flatten.outputs[0];
    if (flatten.opType !== 'Reshape' || flatten.inputs[0] !== y || !isMatrix(flat)) continue;
    // x axis j is axis perm.indexOf(j) of y.
    const order = orderOf(extents, perm.slice(1).map((_, index) => perm.indexOf(index + 1) - 1));
    if (order.length !== flat!.shape![1]) continue;
    const plan = new Plan(graph, links, order);
    if (!growDownwards(graph, links, plan, flat!)) continue;
    flatten.inputs[0] = x;
    plan.apply(arranged);
    changed = true;
  }
  return changed;
}

function growDownwards(graph: Graph, links: Links, plan: Plan, start: Value): boolean {
  const region = new Set([start]);
  const inner: Node[] = [];
  for (const value of region) {
    if (graph.outputs.includes(value)) return false;
    for (const node of links.users.get(value) ?? []) {
      if (isProduct(node, value)) {
        const width = node.inputs[1]!.shape![1];
        if (typeof width !== 'number' || !plan.reorder(node.inputs[1], node, 1, width)) return false;
      } else {
        const output = node.outputs[0];
        if (!isMatrix(output)) return false;
        inner.push(node);
        region.add(output!);
      }
    }
  }
  return inner.every((node) => plan.admits(node, region));
}

/** Matrix product → … → Reshape → Transpose. */
export function absorbUnflatten(graph: Graph, links: Links, transpose: Node, arranged: Arranged): boolean {
  const perm = intsOf(transpose, 'perm')!;
  const y = transpose.inputs[0]!;
  const unflatten = links.producer.get(y);
  const flat = unflatten?.opType === 'Reshape' ? unflatten.inputs[0] : undefined;
  const extents = fixedTail(y);
  const onlyUse = (links.users.get(y)?.length ?? 0) === 1 && !graph.outputs.includes(y);
  if (!flat || !isMatrix(flat) || !extents || !keepsBatch(perm) || !onlyUse) return false;
  const order = orderOf(extents, perm.slice(1).map((axis) => axis - 1));
  if (order.length !== flat.shape![1]) return false;
  const plan = new Plan(graph, links, order);
  if (!growUpwards(graph, links, plan, flat, unflatten!)) return false;
  plan.apply(arranged);
  const target = perm.slice(1).map((axis) => extents[axis - 1]!);
  const shape: Value = { name: `${unflatten!.inputs[1]!.name}_${transpose.name}`, dtype: 'int64', shape: [target.length + 1], content: [-1, ...target] };
  graph.initializers.set(shape, int64([-1, ...target]));
  unflatten!.inputs[1] = shape;
  unflatten!.outputs = transpose.outputs;
  graph.nodes = graph.nodes.filter((node) => node !== transpose);
  return true;
}

function growUpwards(graph: Graph, links: Links, plan: Plan, end: Value, reader: Node): boolean {
  const region = new Set([end]);
  const nodes = new Set([reader]);
  const inner: Node[] = [];
  for (const value of region) {
    const node = links.producer.get(value);
    if (!node || graph.outputs.includes(value)) return false;
    nodes.add(node);
    const [, weight, bias] = node.inputs;
    if (isProduct(node, node.inputs[0]!)) {
      const rows = weight!.shape![0];
      if (typeof rows !== 'number' || !plan.reorder(weight, node, rows, 1) || !plan.reorder(bias, node, 1, 1)) return false;
    } else {
      inner.push(node);
      for (const input of node.inputs) if (input && isMatrix(input) && !graph.initializers.has(input)) region.add(input);
    }
  }
  const closed = [...region].every((value) => (links.users.get(value) ?? []).every((node) => nodes.has(node)));
  return closed && inner.every((node) => plan.admits(node, region));
}

/** A product of this value with a constant matrix on its right. */
function isProduct(node: Node, left: Value): boolean {
  const isGemm = node.opType === 'Gemm' && intOf(node, 'transA', 0) === 0 && intOf(node, 'transB', 0) === 0;
  return (isGemm || node.opType === 'MatMul') && node.inputs[0] === left && isMatrix(left) && isMatrix(node.inputs[1]) && node.inputs[1] !== left;
}
