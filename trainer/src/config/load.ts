/** Configuration files: YAML, overridden by `--set key.path=value`, validated with messages that name the field. */
import { readFile } from 'node:fs/promises';
import { parse, YAMLParseError } from 'yaml';
import type { z } from 'zod';
import { ConfigError } from '../errors.js';
import { classifierConfigSchema, trainingConfigSchema, type RunConfig, type TrainingConfig } from './schema.js';

/**
 * Reads and validates a configuration file of an estimator's run.
 * @param overrides `key.path=value` each, the value in YAML; null takes a field or a block out, as if the file did not have it
 * @throws {ConfigError} naming file, field, value and what is allowed
 */
export async function loadConfig(path: string, overrides: readonly string[] = []): Promise<TrainingConfig> {
  return parseConfig(await readText(path), path, overrides);
}

/** Reads and validates a configuration file of any kind of run, as `loadConfig`. */
export async function loadRunConfig(path: string, overrides: readonly string[] = []): Promise<RunConfig> {
  return parseRunConfig(await readText(path), path, overrides);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ConfigError(`The configuration ${path} cannot be read: ${(cause as Error).message}.`, { cause });
  }
}

/** Parses and validates the text of an estimator's configuration. */
export function parseConfig(text: string, where: string, overrides: readonly string[] = []): TrainingConfig {
  return estimatorOnly(parseRunConfig(text, where, overrides), where);
}

/** Parses and validates the text of a configuration of any kind. */
export function parseRunConfig(text: string, where: string, overrides: readonly string[] = []): RunConfig {
  const tree = parseYaml(text, where) ?? {};
  if (typeof tree !== 'object' || Array.isArray(tree)) throw new ConfigError(`${where} must hold fields (name: value), got ${show(tree)}.`);
  for (const override of overrides) applyOverride(tree as Record<string, unknown>, override);
  return validate(tree, where);
}

/** Validates an estimator's configuration that is already an object. */
export const validateConfig = (value: unknown, where = 'The configuration'): TrainingConfig => estimatorOnly(validate(value, where), where);

function estimatorOnly(config: RunConfig, where: string): TrainingConfig {
  if (config.kind === 'classifier') throw new ConfigError(`${where} is of a classifier (kind = "classifier"); here an estimator's is needed.`);
  return config;
}

function validate(value: unknown, where: string): RunConfig {
  const kind: unknown = (value as { kind?: unknown } | null)?.kind;
  if (kind !== undefined && kind !== 'estimator' && kind !== 'classifier') throw new ConfigError(`${where} is not usable: kind = ${show(kind)} (allowed: estimator, classifier).`);
  const result = (kind === 'classifier' ? classifierConfigSchema : trainingConfigSchema).safeParse(value);
  if (!result.success) throw new ConfigError(`${where} is not usable: ${result.error.issues.map((issue) => describe(issue, value)).join('; ')}.`);
  const config = result.data;
  const { every, keep } = config.checkpoints;
  if (keep.every !== undefined && keep.every % every !== 0) throw new ConfigError(`${where}: checkpoints.keep.every = ${keep.every} must be a multiple of checkpoints.every = ${every}: other iterations have no checkpoint.`);
  if (config.kind === 'classifier') {
    checkNetwork(config.network, where, 'network');
    checkData(config.data, where, 'data');
    if (config.test) checkData(config.test, where, 'test');
  } else {
    checkTogether(config, where);
  }
  return config;
}

/** Validates a `data` block alone, as other commands take it. */
export function validateData(value: unknown, where: string): TrainingConfig['data'] {
  const result = trainingConfigSchema.shape.data.safeParse(value);
  if (!result.success) throw new ConfigError(`${where} is not usable: ${result.error.issues.map((issue) => describe(issue, value)).join('; ')}.`);
  checkData(result.data, where, 'data');
  return result.data;
}

/** What no single field can tell. */
function checkTogether({ data, source, prior, estimator, bridge, provider }: TrainingConfig, where: string): void {
  if (bridge === 'tfjs' && provider !== 'cpu') throw new ConfigError(`${where}: provider = "${provider}" belongs to bridge = "onnxruntime"; where tfjs computes, backend and TensorFlow itself decide.`);
  checkNetwork(estimator, where, 'estimator');
  checkData(data, where, 'data');
  if (source) checkData(source, where, 'source');
  if ((prior.kind === 'source') !== (source !== undefined)) throw new ConfigError(`${where}: ${source ? `source belongs to the prior source, not to ${prior.kind}` : 'prior = "source" needs source, the set that flows start from, with the fields of data'}.`);
  const images = data.name === 'mnist' || data.name === 'cifar10' || data.name === 'images' || data.name === 'npy';
  if (prior.kind === 'ddp' && !images) throw new ConfigError(`${where}: prior = "ddp" needs a set of images, data.name is ${show(data.name)}; use gaussian or uniform.`);
  for (const [field, kind] of [['deviation', 'gaussian'], ['rank', 'ddp'], ['explained', 'ddp']] as const) {
    if (prior.kind !== kind && prior[field] !== undefined) throw new ConfigError(`${where}: prior.${field} = ${prior[field]} belongs to the prior ${kind}, not to ${prior.kind}.`);
  }
}

type Data = TrainingConfig['data'];

/** Fields of the sets beside their name, those that must be there first. */
const dataFields: Readonly<Record<Data['name'], { readonly needed: readonly (keyof Data)[]; readonly others: readonly (keyof Data)[] }>> = {
  'swiss-roll': { needed: [], others: [] },
  '8-gaussians': { needed: [], others: [] },
  '25-gaussians': { needed: [], others: [] },
  gaussian: { needed: ['mean', 'variance'], others: [] },
  mnist: { needed: [], others: ['split', 'folder', 'classes', 'range'] },
  cifar10: { needed: ['folder'], others: ['split', 'flip', 'classes', 'range'] },
  images: { needed: ['path', 'size'], others: ['centreCrop', 'resize', 'channels', 'flip', 'onUnreadable', 'cache'] },
  npy: { needed: ['path'], others: ['labels', 'flip', 'classes', 'range'] },
};

function checkData(data: Data, where: string, block: 'data' | 'source' | 'test'): void {
  const { needed, others } = dataFields[data.name];
  const missing = needed.filter((field) => data[field] === undefined);
  if (missing.length > 0) throw new ConfigError(`${where}: ${block}.name = "${data.name}" needs ${missing.map((field) => `${block}.${field}`).join(' and ')}.`);
  const strange = (Object.keys(data) as (keyof Data)[]).find((field) => field !== 'name' && data[field] !== undefined && !needed.includes(field) && !others.includes(field));
  if (strange === undefined) return;
  const owners = (Object.keys(dataFields) as Data['name'][]).filter((name) => [...dataFields[name].needed, ...dataFields[name].others].includes(strange));
  throw new ConfigError(`${where}: ${block}.${strange} belongs to ${owners.join(', ')}, not to ${data.name}.`);
}

function checkNetwork({ name, path, keepWeights, ...options }: TrainingConfig['estimator'], where: string, block: 'estimator' | 'network'): void {
  if (name === 'custom') {
    if (path === undefined) throw new ConfigError(`${where}: ${block}.name = "custom" needs ${block}.path: a tfjs model (model.json), or an ES module (.mjs) that makes one.`);
    const [option] = Object.entries(options).find(([, value]) => value !== undefined) ?? [];
    if (option !== undefined) throw new ConfigError(`${where}: ${block}.${option} belongs to the estimators that are built here; a custom one decides it itself.`);
  } else if (path !== undefined || keepWeights !== undefined) {
    throw new ConfigError(`${where}: ${block}.path and ${block}.keepWeights belong to the ${block} custom, not to ${name}.`);
  }
}

/** Blocks that may be written as the value of one of their fields (`prior: ddp`), and the type of that value. */
const shortForms = new Map([['prior', { field: 'kind', type: 'string' }], ['checkpoints.keep', { field: 'latest', type: 'number' }]]);

function applyOverride(tree: Record<string, unknown>, override: string): void {
  const at = override.indexOf('=');
  if (at < 1) throw new ConfigError(`--set takes key=value, got ${show(override)}.`);
  const path = override.slice(0, at).trim().split('.');
  const last = path.pop()!;
  let node = tree;
  for (const [depth, key] of path.entries()) {
    if (!Object.hasOwn(node, key) || node[key] === null) Object.defineProperty(node, key, { value: {}, enumerable: true, configurable: true, writable: true });
    const short = shortForms.get(path.slice(0, depth + 1).join('.'));
    if (short?.type === typeof node[key]) node[key] = { [short.field]: node[key] };
    const next = node[key];
    if (typeof next !== 'object' || next === null || Array.isArray(next)) throw new ConfigError(`--set ${override}: ${key} holds ${show(next)}, no fields.`);
    node = next as Record<string, unknown>;
  }
  const text = override.slice(at + 1);
  const value = parseYaml(text, `--set ${override}`);
  // Only a null that is spelled out: nothing after the sign is rather a mistake.
  if (value === null && text.trim() !== '') Reflect.deleteProperty(node, last);
  else Object.defineProperty(node, last, { value, enumerable: true, configurable: true, writable: true });
}

function parseYaml(text: string, where: string): unknown {
  try {
    return parse(text) as unknown;
  } catch (cause) {
    if (cause instanceof YAMLParseError) throw new ConfigError(`${where} is not valid YAML: ${cause.message.split('\n')[0]!.replace(/:$/, '.')}`, { cause });
    // An alias without its anchor, for one: *.zip.
    throw new ConfigError(`${where} is not valid YAML: ${(cause as Error).message}. A text that begins with a sign of YAML's stands in quotes.`, { cause });
  }
}

const show = (value: unknown): string => value === undefined ? 'nothing' : typeof value === 'number' ? String(value) : JSON.stringify(value);

function describe(issue: z.core.$ZodIssue, root: unknown): string {
  // A value that stands where fields could (prior: name) is reported as what was written.
  const path: PropertyKey[] = [];
  let value = root;
  for (const key of issue.path) {
    if (typeof value !== 'object' && value !== undefined) break;
    value = (value as Record<PropertyKey, unknown> | null | undefined)?.[key];
    path.push(key);
  }
  const field = path.join('.');
  if (issue.code === 'unrecognized_keys') {
    return `${field ? `${field}: ` : ''}there is no field ${issue.keys.map(show).join(', ')}`;
  }
  const allowed = issue.code === 'invalid_value' ? `allowed: ${issue.values.map(String).join(', ')}` : issue.message.replace(/^Invalid input: /, '').replace('expected int,', 'expected an integer,');
  return value === undefined ? `${field} is missing (${allowed})` : `${field} = ${show(value)} (${allowed})`;
}
