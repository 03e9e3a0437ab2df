/** Configurations: what is accepted, and that every refusal names the field, the value and what is allowed. */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../errors.js';
import { loadConfig, loadRunConfig, parseConfig, validateConfig } from './load.js';

const minimal = `
name: toy
data: { name: swiss-roll }
estimator: { name: mlp }
prior: gaussian
flow: { K: 20, eta: 1 }
training: { iterations: 10 }
`;

const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

/** The message of the refusal, which must be a ConfigError. */
function refusal(text: string, overrides: readonly string[] = []): string {
  try {
    parseConfig(text, 'toy.yaml', overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error(`accepted: ${text} ${overrides.join(' ')}`);
}
const set = (...overrides: string[]): string => refusal(minimal, overrides);

describe('defaults', () => {
  it('are those of the method', () => {
    expect(parseConfig(minimal, 'toy.yaml')).toEqual({
      kind: 'estimator', name: 'toy', seed: '42', data: { name: 'swiss-roll' }, estimator: { name: 'mlp' }, pairing: 'lr-kl', prior: { kind: 'gaussian' },
      flow: { K: 20, kappa: 0, eta: 1, nu: 0.01 },
      training: { iterations: 10, batch: 64, learningRate: 1e-4, decayAt: [], decayFactor: 0.1, beta1: 0.9, beta2: 0.999, ema: 0.998, dequantisation: 0.03 },
      bridge: 'onnxruntime', provider: 'cpu', backend: 'auto', checkpoints: { every: 500, keep: { latest: 3 } }, previews: { every: 500, count: 64 },
      divergence: { action: 'report', factor: 0.5, attempts: 3 },
    });
  });

  it('a complete configuration written as YAML reads back as itself', () => {
    const config = parseConfig(minimal, 'toy.yaml', ['seed="18446744073709551615"', 'training.decayAt=[5, 7]']);
    expect(parseConfig(stringify(config), 'again')).toEqual(config);
  });
});

describe('a refusal names field, value and what is allowed', () => {
  it.each([
    ['pairing=lr-xyz', ['pairing', '"lr-xyz"', 'lsif-chi2', 'lr-kl', 'lr-js', 'lr-logd']],
    ['data.name=cifar', ['data.name', '"cifar"', 'swiss-roll', 'mnist']],
    ['data.split=validation', ['data.split', '"validation"', 'train', 'test']],
    ['estimator.name=vgg', ['estimator.name', '"vgg"', 'mlp', 'resnet28']],
    ['prior={ kind: laplace }', ['prior.kind', '"laplace"', 'gaussian', 'uniform', 'ddp']],
    ['prior={ kind: gaussian, deviation: 0 }', ['prior.deviation', '0']],
    ['prior={ kind: uniform, deviation: 2 }', ['prior.deviation', '2', 'gaussian', 'uniform']],
    ['prior=laplace', ['prior =', '"laplace"', 'gaussian', 'uniform', 'ddp']],
    ['bridge=torch', ['bridge', '"torch"', 'onnxruntime', 'tfjs']],
    ['backend=gpu', ['backend', '"gpu"', 'auto', 'native', 'portable', 'cpu']],
    ['source={ name: swiss-roll }', ['source belongs to the prior source', 'gaussian']],
    ['prior=source', ['needs source']],
    ['data={ name: images, path: x }', ['data.name = "images" needs data.size']],
    ['data={ name: mnist, size: 32 }', ['data.size belongs to images, not to mnist']],
    ['estimator={ name: custom }', ['needs estimator.path']],
    ['estimator.path=x.json', ['belong to the estimator custom, not to mlp']],
    ['estimator={ name: custom, path: x.json, width: 2 }', ['estimator.width belongs']],
    ['estimator.width=0', ['estimator.width', '0']],
    ['flow.K=-1', ['flow.K', '-1', '0']],
    ['flow.K=20000', ['flow.K', '20000', '10000']],
    ['flow.K=2.5', ['flow.K', '2.5', 'integer']],
    ['flow.K=many', ['flow.K', '"many"', 'number']],
    ['flow.eta=0', ['flow.eta', '0']],
    ['flow.eta=.inf', ['flow.eta = Infinity']],
    ['flow.eta=.nan', ['flow.eta = NaN']],
    ['data={ name: images, path: x, size: 32, channels: 2 }', ['data.channels = 2', 'allowed: 1, 3']],
    ['flow.nu=-0.1', ['flow.nu', '-0.1', '0']],
    ['training.iterations=0', ['training.iterations', '0', '1']],
    ['training.batch=100000', ['training.batch', '100000', '65536']],
    ['training.learningRate=-1', ['training.learningRate', '-1', '0']],
    ['training.decayAt=[10, 0]', ['training.decayAt.1', '0', '1']],
    ['training.decayAt=5', ['training.decayAt', '5', 'array']],
    ['training.ema=1', ['training.ema', '1']],
    ['training.beta2=1.5', ['training.beta2', '1.5', '1']],
    ['seed=-1', ['seed', '-1']],
    ['seed=18446744073709551615', ['seed', '2^64', 'quotes']],
    ['seed="18446744073709551616"', ['seed', '"18446744073709551616"', '2^64']],
    ['seed=1.5', ['seed', '1.5']],
    ['seed=zero', ['seed', '"zero"']],
    ['name=a/b', ['name', '"a/b"', 'letters']],
    ['name=', ['name', 'null']],
    ['checkpoints.keep=0', ['checkpoints.keep', '0', '1']],
    ['previews.every=-5', ['previews.every', '-5', '0']],
    ['previews.count=5000', ['previews.count', '5000', '4096']],
  ])('%s', (override, words) => {
    const message = set(override);
    for (const word of ['toy.yaml', ...words]) expect(message).toContain(word);
  });

  it('for classes of one name', () => {
    const classifier = 'kind: classifier\nname: c\ndata: { name: mnist }\nnetwork: { name: resnet28 }\ntraining: { iterations: 1 }\n';
    expect(refusal(`${classifier}classNames: [cat, dog, cat]`)).toContain('classNames = ["cat","dog","cat"] (every class has a name of its own)');
  });

  it('for a missing field', () => {
    expect(refusal(minimal.replace('prior: gaussian\n', ''))).toMatch(/prior\.kind is missing .*gaussian.*uniform.*ddp/);
    expect(refusal(minimal.replace('K: 20, ', ''))).toMatch(/flow\.K is missing .*number/);
    expect(refusal(minimal.replace('flow: { K: 20, eta: 1 }\n', ''))).toMatch(/flow is missing .*object/);
  });

  it('for unknown fields, at the top and below', () => {
    expect(set('learning_rate=1')).toContain('there is no field "learning_rate"');
    expect(set('training.lr=1')).toContain('training: there is no field "lr"');
    expect(set('checkpoints.evry=1')).toContain('checkpoints: there is no field "evry"');
  });

  it('for all problems at once', () => {
    const message = set('flow.K=-1', 'pairing=x', 'training.lr=1');
    for (const field of ['flow.K', 'pairing', '"lr"']) expect(message).toContain(field);
  });

  it('for what fields mean together', () => {
    expect(set('prior=ddp')).toMatch(/prior = "ddp" needs a set of images, data\.name is "swiss-roll"/);
    expect(set('checkpoints={ every: 50, keep: { latest: 1, every: 120 } }')).toContain('checkpoints.keep.every = 120 must be a multiple of checkpoints.every = 50');
    expect(set('data.name=gaussian')).toContain('data.mean and data.variance');
    expect(set('data.name=gaussian', 'data.mean=[1, 2]')).toContain('data.variance');
    expect(parseConfig(minimal, 'toy.yaml', ['data.name=gaussian', 'data.mean=[1, 2]', 'data.variance=0.1']).data.mean).toEqual([1, 2]);
  });
});

describe('overrides', () => {
  it('take YAML values, make missing parents, and the last one wins', () => {
    const config = parseConfig(minimal, 'toy.yaml', ['flow.K=7', 'flow.K=8', 'training.decayAt=[3, 4]', 'checkpoints.every=5', 'flow.eta = 2.5e-1', 'name="0x"']);
    expect(config.flow).toMatchObject({ K: 8, eta: 0.25 });
    expect(config.training.decayAt).toEqual([3, 4]);
    expect(config.checkpoints).toEqual({ every: 5, keep: { latest: 3 } });
    expect(config.name).toBe('0x');
  });

  it('take a prior as a name or with its fields', () => {
    expect(parseConfig(minimal, 'toy.yaml', ['prior=uniform']).prior).toEqual({ kind: 'uniform' });
    expect(parseConfig(minimal, 'toy.yaml', ['prior={ kind: gaussian, deviation: 0.5 }']).prior).toEqual({ kind: 'gaussian', deviation: 0.5 });
  });

  it('reach fields of what is written in short', () => {
    const full = `${minimal.replace('swiss-roll', 'mnist').replace('prior: gaussian', 'prior: ddp')}checkpoints: { every: 5, keep: 2 }`;
    const config = parseConfig(full, 'toy.yaml', ['prior.rank=32', 'checkpoints.keep.every=10']);
    expect(config.prior).toEqual({ kind: 'ddp', rank: 32 });
    expect(config.checkpoints.keep).toEqual({ latest: 2, every: 10 });
    expect(parseConfig(minimal, 'toy.yaml', ['prior.kind=uniform']).prior).toEqual({ kind: 'uniform' });
  });

  it('take fields and blocks out by null, but not by nothing', () => {
    const full = `${minimal}\npreviews: { every: 7 }\ncheckpoints: { every: 5, keep: { latest: 1, every: 10 } }`;
    const config = parseConfig(full, 'toy.yaml', ['previews=null', 'checkpoints.keep.every=~', 'training.microBatch=4', 'training.microBatch=null', 'divergence=null']);
    expect(config).toEqual(parseConfig(`${minimal}\ncheckpoints: { every: 5, keep: 1 }`, 'toy.yaml'));
    expect(set('flow.K=null')).toContain('flow.K is missing');
    expect(set('previews=')).toContain('previews = null');
  });

  it('keep a seed beyond 2^53 exactly', () => {
    expect(parseConfig(minimal, 'toy.yaml', ['seed="18446744073709551615"']).seed).toBe('18446744073709551615');
    expect(parseConfig(minimal, 'toy.yaml', ['seed=7']).seed).toBe('7');
  });

  it('refuse what is no key=value, a path through a value, and broken YAML', () => {
    expect(set('flow.K')).toContain('--set takes key=value, got "flow.K"');
    expect(set('=5')).toContain('--set takes key=value');
    expect(set('name.x=5')).toMatch(/name holds "toy", no fields/);
    expect(set('flow.K=[1')).toMatch(/--set flow\.K=\[1 is not valid YAML/);
    expect(set('name=*.zip')).toMatch(/--set name=\*\.zip is not valid YAML: .*alias.* in quotes/);
    expect(set('flow..K=1')).toContain('flow');
  });

  it('never reach a prototype', () => {
    for (const path of ['__proto__.polluted', 'constructor.prototype.polluted', 'flow.__proto__.polluted']) {
      expect(set(`${path}=1`)).toContain('toy.yaml');
      expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    }
    expect(refusal(`${minimal}\n__proto__: { polluted: 1 }`)).toContain('toy.yaml');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('files', () => {
  it('that are no mapping, no YAML, or not there', async () => {
    expect(refusal('- a\n- b')).toMatch(/toy\.yaml must hold fields.*\["a","b"\]/);
    expect(refusal('just text')).toMatch(/toy\.yaml must hold fields.*"just text"/);
    expect(refusal('name: [1, 2')).toMatch(/toy\.yaml is not valid YAML.*\.$/);
    expect(refusal('a: 1\na: 2')).toMatch(/toy\.yaml is not valid YAML.*unique/);
    expect(refusal('')).toMatch(/name is missing/);
    await expect(loadConfig('/nowhere/toy.yaml')).rejects.toThrow(/The configuration \/nowhere\/toy\.yaml cannot be read: ENOENT/);
  });

  it('are read with overrides', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ratioflow-config-'));
    folders.push(folder);
    const path = join(folder, 'toy.yaml');
    await writeFile(path, minimal);
    expect((await loadConfig(path, ['flow.K=3'])).flow.K).toBe(3);
  });

  it.each(readdirSync(new URL('../../configs/', import.meta.url)).map((file) => file.replace(/\.yaml$/, '')))('trainer/configs/%s.yaml is valid', async (name) => {
    const config = await loadRunConfig(new URL(`../../configs/${name}.yaml`, import.meta.url).pathname);
    expect(config.name).toBe(name);
  });
});

it('an object is validated under the name it is given', () => {
  expect(() => validateConfig({ name: 'x' }, 'The request')).toThrow(/^The request is not usable: /);
  expect(() => validateConfig(null)).toThrow(ConfigError);
  expect(() => validateConfig(5)).toThrow(ConfigError);
});
