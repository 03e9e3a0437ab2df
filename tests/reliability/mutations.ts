/**
 * What a damaged disk or a hostile author may do to a bundle, drawn from a seed. A mutation changes a copy of the files;
 * `rehash` then makes the manifest agree with them, as somebody who wants to be believed would.
 */
import { createHash } from 'node:crypto';

export type Files = Map<string, Uint8Array>;
/** Whole numbers below n. */
export type Random = (n: number) => number;

/** mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

export const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!;

/** Flips, overwrites, cuts off, lengthens, repeats or removes bytes. */
export function damage(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = random(Math.max(1, copy.length));
  switch (random(8)) {
    case 0: return copy.subarray(0, at);
    case 1: return Uint8Array.from([...copy, ...Array.from({ length: 1 + random(40) }, () => random(256))]);
    case 2: return Uint8Array.from([...copy.subarray(0, at), ...copy.subarray(at + 1 + random(16))]);
    case 3: return Uint8Array.from([...copy.subarray(0, at), ...copy.subarray(Math.max(0, at - random(64))), ...copy.subarray(at)]);
    case 4: return new Uint8Array(0);
    default:
      for (let i = 0; i <= random(6) && copy.length > 0; i++) {
        const place = random(copy.length);
        copy[place] = random(2) === 0 ? copy[place]! ^ (1 << random(8)) : pick(random, [0, 1, 127, 128, 255, random(256)]);
      }
      return copy;
  }
}

const absurd: readonly unknown[] = [
  null, true, '', 'x', -1, 0, 0.5, 1e9, 2 ** 31, 2 ** 53, 1e308, -1e308, [], {}, [[]], [1, 2, 3, 4], [0], [16_777_217], [4096, 4096, 4096], [1e9, 1e9, 1e9],
  '../../../etc/passwd', '/etc/passwd', 'C:\\Windows\\win.ini', 'verify/../../x.npy', 'verify/..npy', 'file:///etc/passwd', 'weights.bin\u0000.npy', '\u202e',
  { __proto__: null, constructor: { prototype: { polluted: true } } }, 'a'.repeat(100_000), Array.from({ length: 2000 }, () => 'verify/x.npy'), '9'.repeat(30),
];

/** Changes values, names and structure of a JSON document anywhere. */
export function mutateJson(text: string, random: Random): string {
  if (random(12) === 0) return text.replace(/"name"/, pick(random, ['"__proto__"', '"constructor"', '"name":"a","name"', '"\\u005f_proto__"']));
  if (random(40) === 0) return '['.repeat(100_000);
  const document = JSON.parse(text) as Record<string, unknown>;
  for (let i = 0; i <= random(3); i++) {
    let node: Record<string, unknown> = document;
    for (;;) {
      const keys = Object.keys(node);
      if (keys.length === 0) break;
      const key = pick(random, keys);
      const value = node[key];
      if (typeof value === 'object' && value !== null && random(4) !== 0) {
        node = value as Record<string, unknown>;
        continue;
      }
      const action = random(5);
      if (action === 0) Reflect.deleteProperty(node, key);
      else if (action === 1) node[pick(random, ['../x', '/etc/passwd', 'verify/../../etc/passwd', 'ratio.onnx', 'toString', 'x'])] = value;
      else node[key] = typeof value === 'number' && action === 2 ? value * pick(random, [-1, 0, 1e3, 1e15, 0.5]) : pick(random, absurd);
      break;
    }
  }
  return JSON.stringify(document);
}

/** Overwrites numbers that stand in the wire format as varints or little-endian floats: extents, lengths, attributes. */
export function mutateNumbers(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (let i = 0; i <= random(3); i++) {
    const at = random(Math.max(1, copy.length - 10));
    const value = pick<readonly number[]>(random, [[0xff, 0xff, 0xff, 0xff, 0x0f], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], [0x80, 0x80, 0x80, 0x80, 0x08], [0], [0xff, 0x7f], [0, 0, 0xc0, 0x7f]]);
    copy.set(value.slice(0, copy.length - at), at);
  }
  return copy;
}

/** Makes a model's external data lie elsewhere, without changing the lengths of its fields. */
export function redirect(bytes: Uint8Array, random: Random): Uint8Array {
  const text = Buffer.from(bytes);
  for (let at = text.indexOf('weights.bin'); at >= 0; at = text.indexOf('weights.bin', at + 1)) {
    if (random(2) === 0) text.write(pick(random, ['/etc/passwd', '../../../..', 'weights.bi\u0000', '\\\\host\\sha', 'WEIGHTS.BIN', 'ratio.onnxx']), at, 'latin1');
  }
  for (const key of ['offset', 'length']) {
    const at = text.indexOf(key);
    if (at >= 0 && random(2) === 0) text.write(pick(random, ['9', '-', ' ', 'x']), at + key.length + 2, 'latin1');
  }
  return Uint8Array.from(text);
}

/** Sizes and hashes of the manifest as the files are now. */
export function rehash(files: Files): void {
  const manifest = JSON.parse(Buffer.from(files.get('manifest.json')!).toString()) as { files: Record<string, unknown> };
  for (const [name, bytes] of files) {
    if (name !== 'manifest.json') manifest.files[name] = { size: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
  }
  files.set('manifest.json', Buffer.from(JSON.stringify(manifest)));
}
