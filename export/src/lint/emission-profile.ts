/**
 * The emission profile: what every graph that we write keeps to, so that every engine runs it (docs/lowerings.md).
 */
import { GraphError } from '../errors.js';
import { emittedOpset } from '../ir/model.js';
import type { Graph, Model } from '../ir/types.js';

/** Options of {@link emissionProfileIssues}. */
export interface ProfileOptions {
  /** Whether Loop is allowed: only in samplers and generators. @default false */
  readonly controlFlow?: boolean;
}

const arithmetic = new Set(['Add', 'Sub', 'Mul', 'Div', 'Mod', 'Pow', 'Max', 'Min', 'ReduceSum', 'ReduceProd', 'CumSum']);
const windowed = new Set(['Conv', 'ConvTranspose', 'AveragePool', 'MaxPool']);

/** Everything in which a model departs from the profile, one sentence each; empty when it keeps to it. */
export function emissionProfileIssues(model: Model, options: ProfileOptions = {}): string[] {
  const issues: string[] = [];
  const domains = [...model.opsets].filter(([domain, version]) => domain !== '' || version !== emittedOpset);
  if (domains.length > 0 || !model.opsets.has('')) issues.push(`imports ${[...model.opsets].map(([domain, version]) => `${domain || 'ai.onnx'} ${version}`).join(', ')} instead of ai.onnx ${emittedOpset} alone`);
  for (const value of [...model.graph.inputs, ...model.graph.outputs]) {
    if (!value.dtype || !value.shape) issues.push(`${value.name} has no element type or shape`);
    else if (value.shape.some((dim, axis) => typeof dim !== 'number' && dim !== 'N' && !(dim === 'K' && axis === 0))) issues.push(`${value.name} has symbolic extents other than N (and a leading K): [${value.shape.join(', ')}]`);
  }
  checkGraph(model.graph, options, issues);
  return issues;
}

function checkGraph(graph: Graph, options: ProfileOptions, issues: string[]): void {
  for (const node of graph.nodes) {
    const where = `${node.opType} node ${node.name}`;
    if (node.domain !== '') issues.push(`${where} is of the domain ${node.domain}`);
    if (node.attributes.has('auto_pad')) issues.push(`${where} uses auto_pad`);
    if (windowed.has(node.opType) && !node.attributes.has('pads')) issues.push(`${where} has no explicit pads`);
    if (arithmetic.has(node.opType) && node.outputs.some((value) => value?.dtype === 'int64')) issues.push(`${where} computes with int64`);
    // Engines differ in what its absence means: the reference evaluator of onnx 1.23 takes no step at all.
    if (node.opType === 'Loop' && !node.inputs[1]) issues.push(`${where} has no explicit condition`);
    for (const value of node.outputs) if (value && (!value.dtype || !value.shape)) issues.push(`${where}: the type of ${value.name} is not known`);
    for (const attribute of node.attributes.values()) {
      if (attribute.type !== 'graph') continue;
      if (!options.controlFlow || node.opType !== 'Loop') issues.push(`${where} is control flow`);
      checkGraph(attribute.value, options, issues);
    }
  }
}

/** @throws {GraphError} listing every departure */
export function assertEmissionProfile(name: string, model: Model, options: ProfileOptions = {}): void {
  const issues = emissionProfileIssues(model, options);
  if (issues.length > 0) throw new GraphError(`${name} departs from the emission profile: ${issues.join('; ')}.`);
}
