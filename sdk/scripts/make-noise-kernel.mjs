/**
 * Writes `src/noise/generated/noise-kernel.ts`: the noise specification's two inner loops as a WebAssembly module with
 * 128-bit vectors. WebAssembly's integers and doubles round the same way everywhere and never fuse, so the module gives
 * the bits of the specification. Run it after a change: `node sdk/scripts/make-noise-kernel.mjs`; a test compares.
 *
 * Memory: the table of normals, then the words, which become normals in place.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

/** Knots T[j] and their slopes, each a pair of doubles: intercept, 256 · (T[j+1] − T[j]). */
const pieces = 8192;
/** First byte of the words. */
const wordsAt = 16 * pieces;
/** Words that fit; a call may overrun them by less than one group of counters. */
const capacity = 8192;
const pages = Math.ceil((wordsAt + 4 * (capacity + 16)) / 65536);

// Threefry-2x32-20: rotation distances, parity (threefry.ts has the definition and its source).
const rotations = [13, 15, 26, 6, 17, 29, 16, 24];
const parity = 0x1bd11bda;

const get = (name) => `(local.get $${name})`;
const set = (name, value) => `(local.set $${name} ${value})`;
const splat = (value) => `(i32x4.splat ${value})`;
const i32 = (value) => `(i32.const ${value})`;
const add = (a, b) => `(i32x4.add ${a} ${b})`;
/** Lanes of 32 bits taken from the eight of a and b. */
const shuffle = (lanes, a, b) => `(i8x16.shuffle ${lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)).join(' ')} ${a} ${b})`;
const locals = (type, names) => names.map((name) => `(local $${name} ${type})`).join(' ');

/** Two vectors of four counters each, so that the processor need not wait for the result of the round before. */
const groups = [0, 1];
const counters = 4 * groups.length;

function threefry() {
  const lines = groups.flatMap((g) => [set(`x${g}`, add(get(`sample${g}`), get('key0'))), set(`y${g}`, add(get(`block${g}`), get('key1')))]);
  for (let round = 0; round < 20; round++) {
    const distance = rotations[round % 8];
    for (const g of groups) lines.push(set(`x${g}`, add(get(`x${g}`), get(`y${g}`))));
    for (const g of groups) {
      const rotated = `(v128.or (i32x4.shl ${get(`y${g}`)} ${i32(distance)}) (i32x4.shr_u ${get(`y${g}`)} ${i32(32 - distance)}))`;
      lines.push(set(`y${g}`, `(v128.xor ${rotated} ${get(`x${g}`)})`));
    }
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      for (const g of groups) {
        lines.push(set(`x${g}`, add(get(`x${g}`), get(`key${injection % 3}`))));
        lines.push(set(`y${g}`, add(get(`y${g}`), get(`injected${injection}`))));
      }
    }
  }
  return lines.join('\n');
}

/** Counters beyond the blocks of their sample go on in the next one. */
function carry(g) {
  return `
    ${set('over', `(i32x4.ge_u ${get(`block${g}`)} ${get('blocks')})`)}
    ${set(`block${g}`, `(i32x4.sub ${get(`block${g}`)} (v128.and ${get('blocks')} ${get('over')}))`)}
    ${set(`sample${g}`, `(i32x4.sub ${get(`sample${g}`)} ${get('over')})`)}`;
}

/** Counters run through the blocks of a sample and on into the next sample, `counters` further each time. */
function advance() {
  return groups.map((g) => `
    ${set(`block${g}`, add(get(`block${g}`), get('blockStep')))}
    ${set(`sample${g}`, add(get(`sample${g}`), get('sampleStep')))}
    ${carry(g)}`).join('');
}

/** Counter of lane l: (sample, block + l), carried until it is one of a sample. */
function firstCounters() {
  return groups.map((g) => `
    ${set(`block${g}`, add(splat(get('block')), `(v128.const i32x4 ${[0, 1, 2, 3].map((l) => 4 * g + l).join(' ')})`))}
    ${set(`sample${g}`, splat(get('sample')))}
    (loop $carry${g}
      ${carry(g)}
      (br_if $carry${g} (v128.any_true ${get('over')})))`).join('');
}

/** The four words at $at to normals: n, the piece and the place in it from the bits of n as a double, one table entry each. */
function fourNormals() {
  const pair = (half) => {
    const lanes = half === 'low' ? [0, 1] : [2, 3];
    const entry = (lane) => `(v128.load (i32x4.extract_lane ${lane} ${get('entries')}))`;
    return `
      ${set('first', entry(lanes[0]))}
      ${set('second', entry(lanes[1]))}
      ${set(half, `(f64x2.add ${shuffle([0, 1, 4, 5], get('first'), get('second'))} (f64x2.mul ${shuffle([2, 3, 6, 7], get('first'), get('second'))}
        (f64x2.sub (v128.or (v128.and ${get(half)} (i64x2.splat (i64.const 0xfffffffffff))) ${get('one')}) ${get('one')})))`)}`;
  };
  return `
    ${set('word', `(v128.load ${get('at')})`)}
    ${set('n', `(v128.or (i32x4.shl (v128.xor ${get('word')} (i32x4.shr_s ${get('word')} ${i32(31)})) ${i32(1)}) ${splat(i32(1))})`)}
    ${set('low', `(f64x2.convert_low_i32x4_u ${get('n')})`)}
    ${set('high', `(f64x2.convert_low_i32x4_u ${shuffle([2, 3, 2, 3], get('n'), get('n'))})`)}
    ${set('entries', `(i32x4.sub (v128.and (i32x4.shr_u ${shuffle([1, 3, 5, 7], get('low'), get('high'))} ${i32(8)}) ${splat(i32(0xfffff0))}) ${splat(i32(1023 * 256 * 16))})`)}
    ${pair('low')}
    ${pair('high')}
    (v128.store ${get('at')} (v128.xor
      (v128.andnot ${splat(i32(-2147483648))} ${get('word')})
      ${shuffle([0, 1, 4, 5], `(f32x4.demote_f64x2_zero ${get('low')})`, `(f32x4.demote_f64x2_zero ${get('high')})`)}))`;
}

const text = `(module
  (memory (export "memory") ${pages})
  ;; Writes count blocks, rounded up to ${counters}, behind the first $held: counters (sample, block), (sample, block + 1) … (sample + 1, 0) …
  (func (export "fill") (param $k0 i32) (param $k1 i32) (param $sample i32) (param $block i32) (param $perSample i32) (param $count i32) (param $held i32)
    ${locals('v128', ['key0', 'key1', 'key2', ...[1, 2, 3, 4, 5].map((i) => `injected${i}`), 'blocks', 'blockStep', 'sampleStep', 'over'])}
    ${locals('v128', groups.flatMap((g) => [`x${g}`, `y${g}`, `sample${g}`, `block${g}`]))}
    (local $at i32) (local $end i32)
    ${set('key0', splat(get('k0')))}
    ${set('key1', splat(get('k1')))}
    ${set('key2', `(v128.xor (v128.xor ${get('key0')} ${get('key1')}) ${splat(i32(parity))})`)}
    ${[1, 2, 3, 4, 5].map((i) => set(`injected${i}`, add(get(`key${(i + 1) % 3}`), splat(i32(i))))).join('\n')}
    ${set('blocks', splat(get('perSample')))}
    ${set('blockStep', splat(`(i32.rem_u ${i32(counters)} ${get('perSample')})`))}
    ${set('sampleStep', splat(`(i32.div_u ${i32(counters)} ${get('perSample')})`))}
    ${firstCounters()}
    ${set('at', `(i32.add ${i32(wordsAt)} (i32.shl ${get('held')} ${i32(3)}))`)}
    ${set('end', `(i32.add ${get('at')} (i32.shl ${get('count')} ${i32(3)}))`)}
    (loop $next
      ${threefry()}
      ${groups.map((g) => `
      (v128.store offset=${32 * g} ${get('at')} ${shuffle([0, 4, 1, 5], get(`x${g}`), get(`y${g}`))})
      (v128.store offset=${32 * g + 16} ${get('at')} ${shuffle([2, 6, 3, 7], get(`x${g}`), get(`y${g}`))})`).join('')}
      ${advance()}
      (br_if $next (i32.lt_u (local.tee $at (i32.add ${get('at')} ${i32(8 * counters)})) ${get('end')}))))
  ;; Replaces the first count words, rounded up to four, by their normals.
  (func (export "toNormals") (param $count i32)
    ${locals('v128', ['word', 'n', 'low', 'high', 'entries', 'first', 'second', 'one'])}
    (local $at i32) (local $end i32)
    ${set('one', '(f64x2.splat (f64.const 1))')}
    ${set('at', i32(wordsAt))}
    ${set('end', `(i32.add ${i32(wordsAt)} (i32.shl ${get('count')} ${i32(2)}))`)}
    (loop $next
      ${fourNormals()}
      (br_if $next (i32.lt_u (local.tee $at (i32.add ${get('at')} ${i32(16)})) ${get('end')})))))`;

/** The module's source file. */
export async function noiseKernel() {
  const { parseWat } = await wabt();
  const module = parseWat('noise-kernel.wat', text, { simd: true });
  module.validate();
  const { buffer } = module.toBinary({});
  module.destroy();
  return `// Made by sdk/scripts/make-noise-kernel.mjs: change that, not this.
export const wordsAt = ${wordsAt};
export const capacity = ${capacity};
/** Hexadecimal: compressed, it is smaller than base64, in which equal rounds look different. */
export const code = '${Buffer.from(buffer).toString('hex')}';
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(join(dirname(fileURLToPath(import.meta.url)), '../src/noise/generated/noise-kernel.ts'), await noiseKernel());
}
