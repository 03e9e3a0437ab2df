import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BundleError } from './errors.js';
import { graphFiles } from './manifest.js';
import { parseManifest } from './manifest-parser.js';

const hash = 'ab'.repeat(32);
const file = { size: 10, sha256: hash };
const names = [...Object.values(graphFiles), 'weights.bin', 'verify/ratio.x.npy', 'verify/ratio.logRatio.npy'];

const complete = (): Record<string, unknown> => ({
  formatVersion: 1, name: 'digits', sampleShape: [1, 28, 28], valueRange: [-1, 1], pairing: 'lr-kl', eta: 3, nu: 0.01, K: 40, kappa: 0,
  prior: { kind: 'ddp', z: 'normal' }, classNames: ['zero', 'Eins', '二'], opset: 18,
  files: Object.fromEntries(names.map((name) => [name, file])),
  training: { dataset: 'mnist', iterations: 600, seed: '18446744073709551615', config: { batch: 64, nested: [{ a: null }] }, versions: { tfjs: '4.22.0' } },
  tolerances: { default: { absolute: 1e-4, relative: 0 }, cpu: { absolute: 0, relative: 1e-3 } },
  verification: [{ graph: 'ratio', inputs: { x: 'verify/ratio.x.npy' }, outputs: { logRatio: 'verify/ratio.logRatio.npy' } }],
});
const parse = (value: unknown): ReturnType<typeof parseManifest> => parseManifest(new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)));
const withFiles = (extra: object): object => ({ files: { ...complete().files as object, ...extra } });

describe('parseManifest', () => {
  it('returns what is there, and nothing unknown', () => {
    expect(parse({ ...complete(), surprise: 1, prior: { kind: 'ddp', z: 'normal', more: 2 } })).toEqual(complete());
    const bare = { ...complete(), valueRange: null, classNames: null, training: null, verification: [], sampleShape: [2] };
    expect(parse(bare)).toEqual(bare);
  });

  it.each<[object, string]>([
    [{ formatVersion: 2 }, 'manifest.json: formatVersion is 2; allowed: at most 1 in this SDK: upgrade ratioflow.'],
    [{ formatVersion: 0 }, 'formatVersion is 0; allowed: an integer from 1.'],
    [{ formatVersion: '1' }, 'formatVersion is "1"; allowed: an integer from 1.'],
    [{ name: '' }, 'name is ""; allowed: a string of 1 to 200 characters without control characters.'],
    [{ name: 'a\u001b[2J' }, 'name is "a\\u001b[2J"'],
    [{ name: 'x'.repeat(201) }, `name is "${'x'.repeat(76)}...; allowed`],
    [{ name: 'gnp\u202e.txt' }, 'without control characters'],
    [{ sampleShape: [28, 28] }, 'sampleShape is [28,28]; allowed: [C, H, W] for images or [D] for points.'],
    [{ sampleShape: [] }, 'sampleShape is []'],
    [{ sampleShape: [1, 2, 3, 4] }, 'sampleShape is an array of 4'.replace('an array of 4', '"an array of 4"')],
    [{ sampleShape: [0] }, 'sampleShape[0] is 0; allowed: an integer from 1 to 16777216.'],
    [{ sampleShape: [1.5] }, 'sampleShape[0] is 1.5'],
    [{ sampleShape: [3, 1e5, 1e5] }, 'sampleShape is [3,100000,100000]; allowed: at most 16777216 elements.'],
    [{ valueRange: [1, 1] }, 'valueRange is [1,1]; allowed: null or [low, high] with low < high.'],
    [{ valueRange: [1] }, 'valueRange is [1]; allowed: null or [low, high] with low < high.'],
    [{ pairing: 'kl' }, 'pairing is "kl"; allowed: lsif-chi2, lr-kl, lr-js, lr-logd.'],
    [{ pairing: 'toString' }, 'pairing is "toString"'],
    [{ eta: -1 }, 'eta is -1; allowed: a number from 0 to 3.4e+38.'],
    // Infinite in float32.
    [{ nu: 1e39 }, 'nu is 1e+39; allowed: a number from 0 to 3.4e+38.'],
    [{ eta: null }, 'eta is null'],
    [{ nu: '0.01' }, 'nu is "0.01"'],
    [{ K: 1e9 }, 'K is 1000000000; allowed: an integer from 0 to 1000000.'],
    [{ kappa: -1 }, 'kappa is -1'],
    [{ prior: 'ddp' }, 'prior is "ddp"; allowed: an object.'],
    [{ prior: { kind: 'ddp', z: 'cauchy' } }, 'prior.z is "cauchy"; allowed: normal, uniform.'],
    [{ prior: { kind: 'none', z: 'normal' } }, 'prior.kind is "none"'],
    [{ classNames: 'ten' }, 'classNames is "ten"'],
    [{ classNames: [7] }, 'classNames[0] is 7'],
    [{ opset: 0 }, 'opset is 0'],
    [{ files: [] }, 'files is []; allowed: an object.'],
    [{ files: {} }, 'manifest.json: files lacks ratio.onnx, which every bundle holds.'],
    [withFiles({ '../weights.bin': file }), 'a name in files is "../weights.bin"; allowed: ratio.onnx, '],
    [withFiles({ '/etc/passwd': file }), 'a name in files is "/etc/passwd"'],
    [withFiles({ 'C:\\x.npy': file }), 'a name in files is "C:\\\\x.npy"'],
    [withFiles({ 'verify/../x.npy': file }), 'a name in files is "verify/../x.npy"'],
    [withFiles({ 'verify//x.npy': file }), 'a name in files'],
    [withFiles({ 'verify\\x.npy': file }), 'a name in files'],
    [withFiles({ 'verify/.npy': file }), 'a name in files'],
    [withFiles({ 'verify/a b.npy': file }), 'a name in files'],
    [withFiles({ 'verify/x.npy\n': file }), 'a name in files'],
    [withFiles({ 'manifest.json': file }), 'a name in files is "manifest.json"'],
    [withFiles({ constructor: file }), 'a name in files is "constructor"'],
    [withFiles({ 'weights.bin': { size: -1, sha256: hash } }), 'files["weights.bin"].size is -1'],
    [withFiles({ 'weights.bin': { size: 2 ** 60, sha256: hash } }), 'files["weights.bin"].size is 1152921504606847000'],
    [withFiles({ 'weights.bin': { size: 1, sha256: hash.toUpperCase() } }), 'allowed: 64 lower-case hexadecimal digits.'],
    [withFiles({ 'weights.bin': 5 }), 'files["weights.bin"] is 5'],
    [{ training: {} }, 'training.seed is undefined; allowed: an integer as a string of decimal digits.'],
    [{ training: { ...complete().training as object, seed: 42 } }, 'training.seed is 42'],
    [{ training: { ...complete().training as object, config: 5 } }, 'training.config is 5'],
    [{ training: { ...complete().training as object, versions: { tfjs: 4 } } }, 'training.versions["tfjs"] is 4'],
    [{ tolerances: {} }, 'tolerances is {}; allowed: an object with an entry "default".'],
    [{ tolerances: { default: { absolute: -1, relative: 0 } } }, 'tolerances["default"].absolute is -1'],
    [{ verification: {} }, 'verification is {}'],
    [{ verification: [{ graph: 'generator', inputs: {}, outputs: {} }] }, 'verification[0].graph is "generator"; allowed: ratio, gradient, step, sampler, prior.'],
    [{ verification: [{ graph: 'ratio', inputs: {}, outputs: {} }] }, 'a file for every input of ratio; x is missing'],
    [{ verification: [{ graph: 'ratio', inputs: { x: 'verify/other.npy' }, outputs: {} }] }, 'verification[0].inputs["x"] is "verify/other.npy"; allowed: a verify/<name>.npy that files lists.'],
    [{ verification: [{ graph: 'ratio', inputs: { x: ['verify/ratio.x.npy'] }, outputs: {} }] }, 'verification[0].inputs["x"] is ["verify/ratio.x.npy"]'],
    [{ verification: [{ graph: 'ratio', inputs: { x: 'weights.bin' }, outputs: {} }] }, 'verification[0].inputs["x"] is "weights.bin"'],
    [{ verification: [{ graph: 'ratio', inputs: { x: 'verify/ratio.x.npy' }, outputs: { drift: 'verify/ratio.x.npy' } }] }, 'a name in verification[0].outputs is "drift"; allowed: logRatio.'],
  ])('refuses %j', (change, message) => {
    expect(() => parse({ ...complete(), ...change })).toThrow(BundleError);
    expect(() => parse({ ...complete(), ...change })).toThrow(message);
  });

  it.each(Object.keys(complete()))('misses the field %s', (name) => {
    expect(() => parse({ ...complete(), [name]: undefined })).toThrow(new RegExp(`^manifest\\.json: ${name} is undefined; allowed: `));
  });

  it('refuses what is no JSON, no UTF-8, no object, or too much', () => {
    for (const bytes of ['', '{', 'null', '[]', '"x"', '1', '{"formatVersion":1e999}', `${'['.repeat(200_000)}${']'.repeat(200_000)}`]) expect(() => parse(bytes)).toThrow(BundleError);
    expect(() => parseManifest(Uint8Array.of(0x7b, 0xff, 0x7d))).toThrow('manifest.json is no JSON in UTF-8');
    expect(() => parseManifest(new Uint8Array(2 ** 24 + 1))).toThrow('manifest.json has 16777217 bytes; allowed: at most 16777216.');
  });

  it('lets nothing reach a prototype', () => {
    const attack = JSON.stringify(complete()).replace('"batch":64', '"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}');
    expect(() => parse(attack)).toThrow('the key "__proto__" is not allowed');
    expect(() => parse(JSON.stringify(complete()).replace('"tfjs":', '"__proto__":'))).toThrow(BundleError);
    parse(attack.replace('"__proto__":{"polluted":1},', ''));
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('survives 6,000 mutations: a manifest like the original, or a BundleError', () => {
    const anything = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(-1, 0, 0.5, 1e308, 2 ** 53, '', '..', '/', '__proto__', [], {}, null, true));
    const pathsOf = (value: unknown): string[][] => (typeof value === 'object' && value !== null ? Object.entries(value).flatMap(([key, inner]) => [[key], ...pathsOf(inner).map((path) => [key, ...path])]) : []);
    const paths = pathsOf(complete());
    fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom(...paths), anything, fc.boolean()), { minLength: 1, maxLength: 3 }), (changes) => {
      const manifest = complete();
      for (const [path, value, remove] of changes) {
        const holder = path.slice(0, -1).reduce<unknown>((at, key) => (typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined), manifest);
        if (typeof holder !== 'object' || holder === null) continue;
        if (remove) Reflect.deleteProperty(holder, path.at(-1)!);
        else Object.defineProperty(holder, path.at(-1)!, { value: structuredClone(value), enumerable: true, configurable: true, writable: true });
      }
      onlyBundleError(JSON.stringify(manifest));
    }), { numRuns: 3000 });
    const text = JSON.stringify(complete());
    fc.assert(fc.property(fc.nat(text.length), fc.nat(20), fc.string({ maxLength: 8 }), (at, cut, put) => onlyBundleError(text.slice(0, at) + put + text.slice(at + cut))), { numRuns: 3000 });
  });

  /** What comes through is safe to use: the sampler relies on it. */
  function onlyBundleError(text: string): void {
    let manifest;
    try {
      manifest = parse(text);
    } catch (error) {
      expect(error).toBeInstanceOf(BundleError);
      return;
    }
    expect([1, 3]).toContain(manifest.sampleShape.length);
    expect(manifest.sampleShape.every((extent) => Number.isSafeInteger(extent) && extent > 0)).toBe(true);
    expect([manifest.eta, manifest.nu, ...manifest.valueRange ?? []].every(Number.isFinite)).toBe(true);
    for (const name of Object.keys(manifest.files)) expect(name).toMatch(/^(verify\/)?[A-Za-z0-9_][A-Za-z0-9._-]*$/);
  }
});
