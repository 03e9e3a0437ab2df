/**
 * Replaces a `Scan`, or a `Loop` without an early end, whose number of iterations is known by the nodes of its iterations, on the
 * messages as they were read: what is left can be differentiated, and runs on engines without control flow.
 */
import { clone, create } from '@bufbuild/protobuf';
import type { Value } from '../ir/types.js';
import { knownInts } from '../ops/operator.js';
import { attributeTypeCodes } from './attribute-types.js';
import type { Branch } from './fold-branches.js';
import { renamed } from './functions.js';
import { AttributeProtoSchema, NodeProtoSchema, TensorProtoSchema, type GraphProto, type NodeProto, type TensorProto } from './generated/onnx_pb.js';

/** Nodes that all unrolled iterations of a model may have; what would need more stays as it is. */
export interface UnrollBudget {
  left: number;
}
export const unrolledNodes = 20_000;

/** @returns undefined where the number of iterations is not known, or the budget too small */
export function unrolled(node: NodeProto, lookUp: (name: string) => Value | undefined, names: () => Set<string>, budget: UnrollBudget): Branch | undefined {
  if (!['', 'ai.onnx'].includes(node.domain)) return undefined;
  const plan = node.opType === 'Scan' ? scanPlan(node, lookUp) : node.opType === 'Loop' ? loopPlan(node, lookUp) : undefined;
  if (!plan) return undefined;
  const { body, count, carried, axes } = plan;
  const size = count * body.node.length + 2 * axes.length;
  // No iteration: of what is collected not even the shape is known.
  if (size > budget.left || (count === 0 && plan.collected > 0)) return undefined;
  budget.left -= size;
  return new Unroller(node, plan, names()).run(carried);
}

interface Plan {
  readonly body: GraphProto;
  readonly count: number;
  /** Names of the states before the first iteration. */
  readonly carried: readonly string[];
  /** Inputs of the body before its states: of a Loop the iteration and the condition. */
  readonly leading: number;
  /** Outputs of the body before its states: of a Loop the condition. */
  readonly leadingOutputs: number;
  /** What each iteration has a slice of: name, axis, whether from its end. */
  readonly scanned: readonly { readonly name: string; readonly axis: number; readonly backwards: boolean }[];
  /** Number of outputs that hold a slice of each iteration, their axes, whether from their end. */
  readonly collected: number;
  readonly axes: readonly number[];
  readonly backwards: readonly boolean[];
}

const attribute = (node: NodeProto, name: string): NodeProto['attribute'][number] | undefined => node.attribute.find((item) => item.name === name);

function scanPlan(node: NodeProto, lookUp: (name: string) => Value | undefined): Plan | undefined {
  const body = attribute(node, 'body')?.g;
  const scans = Number(attribute(node, 'num_scan_inputs')?.i ?? 0n);
  const states = node.input.length - scans;
  if (!body || scans < 1 || states < 0 || body.input.length !== node.input.length || body.output.length < states || body.output.length < node.output.length) return undefined;
  const list = (name: string, length: number): number[] => {
    const given = attribute(node, name)?.ints.map(Number) ?? [];
    return Array.from({ length }, (_, index) => given[index] ?? 0);
  };
  const [inputAxes, inputDirections] = [list('scan_input_axes', scans), list('scan_input_directions', scans)];
  const collected = body.output.length - states;
  const scanned = node.input.slice(states).map((name, index) => ({ name, axis: inputAxes[index]!, backwards: inputDirections[index] === 1 }));
  const counts = scanned.map(({ name, axis }) => lookUp(name)?.shape?.at(axis));
  const [count] = counts;
  if (typeof count !== 'number' || counts.some((other) => other !== count)) return undefined;
  return {
    body, count, carried: node.input.slice(0, states), leading: 0, leadingOutputs: 0, scanned, collected,
    axes: list('scan_output_axes', collected), backwards: list('scan_output_directions', collected).map((direction) => direction === 1),
  };
}

function loopPlan(node: NodeProto, lookUp: (name: string) => Value | undefined): Plan | undefined {
  const body = attribute(node, 'body')?.g;
  const [trip = '', condition = '', ...carried] = node.input;
  const [count] = knownInts(lookUp(trip)) ?? [];
  if (!body || count === undefined || count < 0 || body.input.length !== carried.length + 2 || body.output.length < carried.length + 1 || body.output.length - 1 < node.output.length) return undefined;
  const holds = condition === '' || knownInts(lookUp(condition))?.[0] === 1;
  if (!holds || !keepsGoing(body, lookUp)) return undefined;
  const collected = body.output.length - 1 - carried.length;
  const zeros = Array.from({ length: collected }, () => 0);
  return { body, count, carried, leading: 2, leadingOutputs: 1, scanned: [], collected, axes: zeros, backwards: zeros.map(() => false) };
}

/** Whether a Loop's condition, true at first, is true after every iteration. */
function keepsGoing(body: GraphProto, lookUp: (name: string) => Value | undefined): boolean {
  const makers = new Map(body.node.flatMap((node) => node.output.map((name) => [name, node] as const)));
  let name = body.output[0]!.name;
  for (let steps = 0; steps <= body.node.length; steps++) {
    if (name === body.input[1]!.name) return true;
    const initializer = body.initializer.find((tensor) => tensor.name === name);
    if (initializer) return isTrue(initializer);
    const maker = makers.get(name);
    if (!maker) return knownInts(lookUp(name))?.[0] === 1;
    const tensor = maker.opType === 'Constant' ? attribute(maker, 'value')?.t : undefined;
    if (tensor) return isTrue(tensor);
    if (maker.opType !== 'Identity' && maker.opType !== 'Cast') return false;
    name = maker.input[0] ?? '';
  }
  return false;
}

const isTrue = ({ rawData, int32Data, int64Data }: TensorProto): boolean => rawData.some((byte) => byte !== 0) || int32Data[0] === 1 || int64Data[0] === 1n;

class Unroller {
  readonly #node: NodeProto;
  readonly #plan: Plan;
  readonly #taken: Set<string>;
  readonly #nodes: NodeProto[] = [];
  readonly #initializers: TensorProto[] = [];
  /** Nodes that are written here, in the form of current opsets. */
  readonly #settled = new Set<NodeProto>();

  constructor(node: NodeProto, plan: Plan, taken: Set<string>) {
    this.#node = node;
    this.#plan = plan;
    this.#taken = taken;
  }

  run(initial: readonly string[]): Branch {
    const { body, count, leading, leadingOutputs, scanned, backwards } = this.#plan;
    const shared = new Map(body.initializer.map((tensor) => [tensor.name, this.#own(tensor.name)]));
    this.#initializers.push(...body.initializer.map((tensor) => Object.assign(tensor, { name: shared.get(tensor.name)! })));
    const slices = scanned.map(({ name, axis }) => this.#slices(name, axis));
    let states = initial;
    const collected: string[][] = Array.from({ length: this.#plan.collected }, () => []);
    for (let step = 0; step < count; step++) {
      const actual = [
        ...(leading > 0 ? [this.#scalar(BigInt(step), 7), this.#scalar(1n, 9)] : []), ...states,
        ...slices.map((list, index) => list[scanned[index]!.backwards ? count - 1 - step : step]!),
      ];
      const inner = new Map([...shared, ...body.input.map(({ name }, index) => [name, actual[index]!] as const)]);
      for (const name of body.node.flatMap(({ output }) => output)) if (name !== '') inner.set(name, this.#own(name, step));
      const rename = (name: string): string => inner.get(name) ?? name;
      for (const item of body.node) this.#nodes.push(renamed(clone(NodeProtoSchema, item), rename, new Map(), `${this.#node.name || this.#node.opType}/${step}/`));
      const results = body.output.slice(leadingOutputs).map(({ name }) => rename(name));
      states = results.slice(0, states.length);
      results.slice(states.length).forEach((name, index) => collected[index]!.push(name));
    }
    states.forEach((name, index) => this.#give(name, index));
    collected.forEach((list, index) => this.#stack(backwards[index] ? list.toReversed() : list, this.#plan.axes[index]!, initial.length + index));
    return { nodes: this.#nodes, initializers: this.#initializers, types: [], settled: this.#settled };
  }

  /** What each iteration sees of an input: one element along an axis, without it. */
  #slices(name: string, axis: number): string[] {
    const { count } = this.#plan;
    const parts = Array.from({ length: count }, (_, step) => this.#own(`${name}_part`, step));
    const extents = this.#ints(Array.from({ length: count }, () => 1));
    if (count > 0) this.#add('Split', [name, extents], parts, { axis });
    const axes = this.#ints([axis]);
    return parts.map((part, step) => this.#add('Squeeze', [part, axes], [this.#own(name, step)])[0]!);
  }

  #stack(list: readonly string[], axis: number, output: number): void {
    const result = this.#node.output[output];
    if (!result) return;
    const axes = this.#ints([axis]);
    const raised = list.map((name, step) => this.#add('Unsqueeze', [name, axes], [this.#own(`${result}_part`, step)])[0]!);
    this.#add('Concat', raised, [result], { axis });
  }

  #give(name: string, output: number): void {
    const result = this.#node.output[output];
    if (result) this.#add('Identity', [name], [result]);
  }

  #add(opType: string, input: readonly string[], output: readonly string[], attributes: Readonly<Record<string, number>> = {}): readonly string[] {
    const node = create(NodeProtoSchema, {
      opType, name: this.#own(opType), input: [...input], output: [...output],
      attribute: Object.entries(attributes).map(([name, value]) => create(AttributeProtoSchema, { name, type: attributeTypeCodes.int, i: BigInt(value) })),
    });
    this.#settled.add(node);
    this.#nodes.push(node);
    return output;
  }

  #ints(values: readonly number[]): string {
    return this.#constant([BigInt(values.length)], new Uint8Array(BigInt64Array.from(values, BigInt).buffer), 7);
  }

  #scalar(value: bigint, dataType: 7 | 9): string {
    return this.#constant([], dataType === 9 ? Uint8Array.of(Number(value)) : new Uint8Array(BigInt64Array.of(value).buffer), dataType);
  }

  #constant(dims: bigint[], rawData: Uint8Array, dataType: number): string {
    const name = this.#own('constant');
    this.#initializers.push(create(TensorProtoSchema, { name, dims, dataType, rawData: rawData }));
    return name;
  }

  /** A name of the whole graph's for one of the body. */
  #own(name: string, step?: number): string {
    const wanted = `${this.#node.name || this.#node.opType}/${step === undefined ? '' : `${step}/`}${name}`;
    let own = wanted;
    for (let suffix = 2; this.#taken.has(own); suffix++) own = `${wanted}_${suffix}`;
    this.#taken.add(own);
    return own;
  }
}
