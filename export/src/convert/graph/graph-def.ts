/** TensorFlow's GraphDef in its JSON form: checked access to nodes, inputs and attributes. */
import { ModelFormatError, UnsupportedError } from '../../errors.js';

export interface GraphNode {
  readonly name: string;
  readonly op: string;
  /** Data inputs as [node, index of its output]; control inputs are left out. */
  readonly inputs: readonly (readonly [string, number])[];
  readonly attr: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** The nodes by name. @throws {ModelFormatError} for a topology that is no GraphDef */
export function readGraphDef(topology: unknown): Map<string, GraphNode> {
  const list = (topology as { node?: unknown } | null)?.node;
  if (!Array.isArray(list)) throw new ModelFormatError('The model topology holds no list of nodes: is this a GraphModel?');
  return readNodes(list, 'The model topology', splitOutput);
}

/**
 * Nodes by name, in order.
 * @param list of nodes, unchecked
 * @param holder what holds them, for messages
 * @param reference what the text of an input names, given the operators of all nodes by name
 */
export function readNodes(list: readonly unknown[], holder: string, reference: (text: string, operators: ReadonlyMap<string, string>) => readonly [string, number]): Map<string, GraphNode> {
  const operators = new Map<string, string>();
  const items = list.map((item) => {
    const { name, op, input = [], attr = {} } = (item ?? {}) as Partial<Record<'name' | 'op' | 'input' | 'attr', unknown>>;
    if (typeof name !== 'string' || typeof op !== 'string' || !Array.isArray(input) || !input.every((text) => typeof text === 'string') || !isRecord(attr) || !Object.values(attr).every(isRecord)) {
      throw new ModelFormatError(`${holder} holds a node without name, operator, inputs or attributes: ${JSON.stringify({ name, op })}.`);
    }
    if (operators.has(name)) throw new ModelFormatError(`${holder} holds two nodes ${JSON.stringify(name)}.`);
    operators.set(name, op);
    return { name, op, input, attr: attr as GraphNode['attr'] };
  });
  return new Map(items.map(({ name, op, input, attr }) => [name, { name, op, attr, inputs: input.filter((text) => !text.startsWith('^')).map((text) => reference(text, operators)) }]));
}

/** Whether it is an object with fields. */
export const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** `node`, `node:1` or `node:output:0`. */
export function splitOutput(text: string): readonly [string, number] {
  const parts = text.split(':');
  return [parts[0]!, parts.length > 1 ? Number(parts.at(-1)) : 0];
}

/** Typed access to a node's attributes; messages name node, operator and attribute. */
export class Attributes {
  readonly #node: GraphNode;
  readonly where: string;

  constructor(node: GraphNode) {
    this.#node = node;
    this.where = `Node ${JSON.stringify(node.name)} (${node.op})`;
  }

  #get(name: string): Readonly<Record<string, unknown>> | undefined {
    return Object.hasOwn(this.#node.attr, name) ? this.#node.attr[name] : undefined;
  }

  #list(name: string, kind: 'i' | 's' | 'f'): unknown[] | undefined {
    const list = (this.#get(name)?.['list'] as Record<string, unknown> | undefined)?.[kind];
    return Array.isArray(list) ? list : undefined;
  }

  int(name: string, fallback?: number): number {
    const value = this.#get(name)?.['i'] ?? fallback;
    return this.#number(name, value);
  }

  float(name: string, fallback: number): number {
    return this.#number(name, this.#get(name)?.['f'] ?? fallback);
  }

  ints(name: string, fallback: readonly number[] = []): number[] {
    return (this.#list(name, 'i') ?? fallback).map((value) => this.#number(name, value));
  }

  bool(name: string): boolean {
    return this.#get(name)?.['b'] === true;
  }

  string(name: string, fallback = ''): string {
    const value = this.#get(name)?.['s'];
    return value === undefined ? fallback : text(value);
  }

  strings(name: string): string[] {
    return (this.#list(name, 's') ?? []).map(text);
  }

  /** Element type by TensorFlow's name, without its prefix: `float`, `int32`, … */
  type(name: string): string {
    const value = this.#get(name)?.['type'];
    return typeof value === 'number' ? (numberedTypes[value] ?? String(value)) : typeof value === 'string' ? value.replace(/^DT_/, '').toLowerCase() : 'float';
  }

  /** Extents; −1 where open; undefined where not even the rank is given. */
  shape(name: string): number[] | undefined {
    const shape = this.#get(name)?.['shape'] as { dim?: { size?: unknown }[]; unknownRank?: boolean } | undefined;
    if (!shape || shape.unknownRank) return undefined;
    return (shape.dim ?? []).map(({ size }) => Number(size ?? -1));
  }

  /** Refuses a value by name. */
  refuse(name: string, value: unknown, supported: string): never {
    throw new UnsupportedError(`${this.where}: ${name} = ${JSON.stringify(value)} is not supported (supported: ${supported}).`);
  }

  #number(name: string, value: unknown): number {
    const number = typeof value === 'string' && value !== '' ? Number(value) : value;
    if (typeof number !== 'number' || Number.isNaN(number)) throw new ModelFormatError(`${this.where}: attribute ${name} is ${JSON.stringify(value)}, expected a number.`);
    return number;
  }
}

const numberedTypes: Readonly<Record<number, string>> = { 1: 'float', 2: 'double', 3: 'int32', 4: 'uint8', 9: 'int64', 10: 'bool' };

/** Strings are base64 in files, lists of character codes in some writers' memory. */
const text = (value: unknown): string => (Array.isArray(value) ? String.fromCharCode(...(value as number[])) : fromBase64(String(value)));

function fromBase64(encoded: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  let [result, bits, held] = ['', 0, 0];
  for (const character of encoded.replace(/=+$/, '')) {
    bits = ((bits << 6) | alphabet.indexOf(character)) & 0xffff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    result += String.fromCharCode((bits >> held) & 0xff);
  }
  return result;
}
