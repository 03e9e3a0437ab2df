/** Bundles from the network, from archives and from memory: whole, bounded, kept on disk, and never from elsewhere. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { mkdir, mkdtemp, open as openFile, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { crc32, deflateRawSync } from 'node:zlib';
import { ArgumentError, BundleError, openBundle, readManifest, sha256 } from '@ratioflow/sdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fakeManifest, fakeRuntime, fakeSource } from '../../../sdk/src/testing/fake-bundle.js';
import { bundleSource, memorySource } from './bundle-source.js';
import { defaultCacheFolder } from './cache.js';
import { open } from './open.js';
import { folderSource } from './folder-source.js';
import { urlSource } from './url-source.js';
import { zipSource } from './zip-source.js';

let folder: string;
let server: Server;
let base: string;
let files: Map<string, Uint8Array>;
let requests: string[] = [];
let answer: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-sources-'));
  files = (await fakeSource(fakeManifest(), { 'weights.bin': Uint8Array.from({ length: 300_000 }, (_, i) => i * 7) })).files;
  server = createServer((request, response) => {
    requests.push(request.url!);
    if (answer?.(request, response) === true) return;
    const bytes = files.get(request.url!.replace(/^\/models\/a\//, '').replace(/\?.*$/, ''));
    if (bytes === undefined) response.writeHead(404).end();
    else response.end(bytes);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/models/a`;
});
afterEach(() => { requests = []; answer = undefined; });
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

describe('urlSource', () => {
  const hashOf = (name: string): Promise<string> => sha256(files.get(name)!);

  it('fetches what is read, once, and keeps it', async () => {
    const cache = join(folder, 'cache');
    const received: number[] = [];
    for (let i = 0; i < 2; i++) {
      const source = urlSource(base, { cache, onProgress: (progress) => received.push(progress.received) });
      expect((await readManifest(source)).name).toBe('fake');
      expect(await source.read('weights.bin', 300_000, await hashOf('weights.bin'))).toEqual(files.get('weights.bin'));
    }
    expect(requests).toEqual(['/models/a/manifest.json', '/models/a/weights.bin', '/models/a/manifest.json']);
    expect(received).toContain(300_000);
    expect(await readdir(cache)).toEqual([await hashOf('weights.bin')]);
    const model = await openBundle(await bundleSource(`${base}/`, { cache }), fakeRuntime());
    expect((await model.prior({ count: 2 })).shape).toEqual([2, 2]);
  });

  it('does not believe its own copies, and gets a damaged one again', async () => {
    const cache = join(folder, 'doubtful');
    const hash = await hashOf('weights.bin');
    const read = (): Promise<Uint8Array> => urlSource(base, { cache }).read('weights.bin', 300_000, hash);
    await read();
    await writeFile(join(cache, hash), 'something else');
    expect(await read()).toEqual(files.get('weights.bin'));
    expect(requests).toHaveLength(2);
    expect(new Uint8Array(await readFile(join(cache, hash)))).toEqual(files.get('weights.bin'));
    // What is wrong on the server is not kept, and left to the reader to judge.
    answer = (_, response) => { response.end('short'); return true; };
    expect(await urlSource(base, { cache }).read('weights.bin', 300_000, 'a'.repeat(64))).toHaveLength(5);
    expect(await readdir(cache)).toEqual([hash]);
  });

  it('works without a cache, and where none can be written', async () => {
    const plain = join(folder, 'plain');
    await writeFile(plain, 'a file');
    for (const cache of [false, join(plain, 'inside')] as const) {
      expect(await urlSource(base, { cache }).read('weights.bin', 300_000, await hashOf('weights.bin'))).toHaveLength(300_000);
    }
  });

  it('reads no more than is allowed, announced or not', async () => {
    await expect(urlSource(base, { cache: false }).read('weights.bin', 1000)).rejects.toThrow('weights.bin cannot be fetched: the server announces 300000 bytes; allowed: 1000.');
    let written = 0;
    answer = (_, response) => {
      const more = (): void => { while (!response.destroyed && response.write(Buffer.alloc(65_536))) written += 65_536; };
      response.on('drain', more).on('error', () => undefined);
      more();
      return true;
    };
    await expect(urlSource(base, { cache: false }).read('weights.bin', 200_000)).rejects.toThrow('weights.bin has more than the 200000 bytes allowed');
    await expect(urlSource(base, { cache: false, maxBytes: 100_000 }).read('weights.bin', 2 ** 50)).rejects.toThrow('weights.bin has more than the 100000 bytes allowed');
    expect(written).toBeLessThan(50e6);
  });

  it('says what went wrong', async () => {
    const source = urlSource(`${base}/absent`, { cache: false });
    await expect(source.read('manifest.json')).rejects.toThrow(new BundleError(`There is no bundle at ${base}/absent/: the server has no manifest.json.`));
    await expect(source.read('ratio.onnx')).rejects.toThrow('ratio.onnx cannot be fetched: the server answers 404 Not Found.');
    answer = (_, response) => { response.writeHead(200, { 'content-length': '100' }).write('half'); setTimeout(() => response.destroy(), 20); return true; };
    await expect(urlSource(base, { cache: false }).read('ratio.onnx')).rejects.toThrow(BundleError);
    await expect(urlSource('http://127.0.0.1:9/', { cache: false }).read('manifest.json')).rejects.toThrow(/manifest\.json cannot be fetched: .+\.$/);
  });

  it('can be aborted', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    answer = (_, response) => { response.write('never ends'); setTimeout(() => controller.abort(reason), 20); return true; };
    await expect(urlSource(base, { cache: false, signal: controller.signal }).read('weights.bin')).rejects.toBe(reason);
  });

  it('takes https, or this machine, also after a redirect', async () => {
    expect(() => urlSource('http://example.org/bundle')).toThrow(new ArgumentError('http://example.org is not https: what a bundle says of itself could be changed on its way. Allowed: https, or http on localhost.'));
    expect(() => urlSource('file:///etc/')).toThrow(ArgumentError);
    expect(() => urlSource('nonsense')).toThrow('"nonsense" is no URL; allowed: https://…, or http:// on localhost.');
    await expect(bundleSource('ftp://localhost/a')).rejects.toThrow(ArgumentError);
    expect(urlSource('https://example.org/a?token=secret').location).toBe('https://example.org/a/');
  });

  it('follows redirects that it may, and keeps the headers for the first origin', async () => {
    const seen: (string | undefined)[] = [];
    const away = (status: number, location: string) => (request: IncomingMessage, response: ServerResponse): boolean => {
      seen.push(request.headers['x-key'] as string | undefined);
      if (request.url!.startsWith('/models/a/')) return false;
      response.writeHead(status, { location }).end();
      return true;
    };
    const { port } = server.address() as AddressInfo;
    const read = (path: string): Promise<Uint8Array> => urlSource(`http://127.0.0.1:${port}${path}`, { cache: false, headers: { 'x-key': 'secret' } }).read('ratio.onnx');
    answer = away(302, '/models/a/ratio.onnx');
    expect(await read('/moved')).toEqual(files.get('ratio.onnx'));
    expect(seen.splice(0)).toEqual(['secret', 'secret']);
    answer = away(307, `http://localhost:${port}/models/a/ratio.onnx`);
    expect(await read('/moved')).toEqual(files.get('ratio.onnx'));
    expect(seen.splice(0)).toEqual(['secret', undefined]);
    // Nobody may ask there, although what follows would be all right again.
    answer = away(301, `http://127.0.0.2:${port}/models/a/ratio.onnx`);
    await expect(read('/moved')).rejects.toThrow(new BundleError(`http://127.0.0.1:${port}/moved/: ratio.onnx cannot be fetched: it leads to http://127.0.0.2:${port}, which is not https.`));
    expect(seen.splice(0)).toEqual(['secret']);
    answer = away(302, 'file:///etc/passwd');
    await expect(read('/moved')).rejects.toThrow('ratio.onnx cannot be fetched: it leads to file:, which is not https.');
    expect(seen.splice(0)).toEqual(['secret']);
    answer = away(308, '/elsewhere');
    await expect(read('/moved')).rejects.toThrow('ratio.onnx cannot be fetched: the server redirects more than 10 times.');
    expect(seen).toHaveLength(11);
  });

  it('sends the query with every file, and names it in no message', async () => {
    const source = urlSource(`${base}?signature=a%2Fb`, { cache: false });
    await source.read('manifest.json');
    await source.read('ratio.onnx');
    expect(requests).toEqual(['/models/a/manifest.json?signature=a%2Fb', '/models/a/ratio.onnx?signature=a%2Fb']);
    await expect(source.read('none')).rejects.toThrow(`${base}/: none cannot be fetched: the server answers 404 Not Found.`);
  });

  it('keeps copies in a folder of its own', () => {
    const before = process.env.RATIOFLOW_CACHE;
    process.env.RATIOFLOW_CACHE = '/somewhere';
    expect(defaultCacheFolder()).toBe(join('/somewhere', 'bundles'));
    if (before === undefined) delete process.env.RATIOFLOW_CACHE;
    else process.env.RATIOFLOW_CACHE = before;
    expect(defaultCacheFolder()).toMatch(/bundles$/);
  });
});

/** A zip archive by the format's specification: local headers, central directory, end record. */
function zip(entries: readonly (readonly [string, Uint8Array, Partial<{ method: number; content: Uint8Array; flags: number }>?])[]): Uint8Array {
  const locals: Buffer[] = [];
  const index: Buffer[] = [];
  let offset = 0;
  for (const [name, bytes, { method = 8, content = method === 8 ? deflateRawSync(bytes) : bytes, flags = 0 } = {}] of entries) {
    const label = Buffer.from(name);
    const common = Buffer.alloc(26);
    [20, flags, method, 0, 0].forEach((value, i) => common.writeUInt16LE(value, 2 * i));
    [crc32(bytes), content.length, bytes.length].forEach((value, i) => common.writeUInt32LE(value, 10 + 4 * i));
    common.writeUInt16LE(label.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, label, content]);
    index.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), common, Buffer.alloc(10), uint32(offset), label]));
    locals.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(index);
  const end = Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(4), uint16(entries.length), uint16(entries.length), uint32(central.length), uint32(offset), uint16(0)]);
  return Buffer.concat([...locals, central, end]);
}
const uint16 = (value: number): Buffer => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
const uint32 = (value: number): Buffer => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };

describe('zipSource', () => {
  it.each(['', 'digits/'])('reads a bundle that lies in %j', async (prefix) => {
    const archive = zip([...files].map(([name, bytes], i) => [prefix + name, bytes, { method: i % 2 === 0 ? 8 : 0 }] as const));
    const path = join(folder, 'bundle.zip');
    await writeFile(path, archive);
    for (const source of [zipSource(archive), await bundleSource(archive), await bundleSource(path)]) {
      for (const [name, bytes] of files) expect(await source.read(name, bytes.length)).toEqual(bytes);
      const model = await openBundle(source, fakeRuntime());
      expect((await model.prior()).shape).toEqual([1, 2]);
    }
  });

  it('unpacks no more than is allowed', async () => {
    const bomb = zip([['manifest.json', new Uint8Array(50_000_000)], ['weights.bin', new Uint8Array(2000), { method: 0 }]]);
    expect(bomb.length).toBeLessThan(100_000);
    const before = process.memoryUsage.rss();
    await expect(zipSource(bomb).read('manifest.json', 1000)).rejects.toThrow('manifest.json unpacks to more than the 1000 bytes allowed.');
    await expect(zipSource(bomb).read('weights.bin', 1000)).rejects.toThrow('weights.bin has 2000 bytes; allowed: 1000.');
    expect(process.memoryUsage.rss() - before).toBeLessThan(40e6);
  });

  it('refuses what is no archive of a bundle, and says why', async () => {
    const manifest = ['manifest.json', files.get('manifest.json')!] as const;
    for (const [bytes, message] of [
      [new Uint8Array(0), 'this is no zip archive, or it is cut off.'],
      [Buffer.from('PK and nothing more, but more than twenty-two bytes'), 'this is no zip archive, or it is cut off.'],
      [zip([['a/manifest.json', manifest[1]], ['b/manifest.json', manifest[1]]]), 'the archive holds no bundle'],
      [zip([['../manifest.json.txt', manifest[1]]]), 'the archive holds no bundle'],
      [zip([manifest, manifest]), 'the archive holds "manifest.json" twice.'],
    ] as const) expect(() => zipSource(bytes)).toThrow(message);
    await expect(zipSource(zip([[...manifest, { flags: 1 }]])).read('manifest.json')).rejects.toThrow('manifest.json is encrypted.');
    await expect(zipSource(zip([[...manifest, { method: 14 }]])).read('manifest.json')).rejects.toThrow('packed by method 14');
    await expect(zipSource(zip([[...manifest, { content: Buffer.from('garbage') }]])).read('manifest.json')).rejects.toThrow(/manifest\.json cannot be unpacked: /);
    await expect(zipSource(zip([manifest])).read('ratio.onnx')).rejects.toThrow(new BundleError('zip archive: ratio.onnx is missing.'));
    await expect(bundleSource(join(folder, 'none'))).resolves.toMatchObject({ location: join(folder, 'none') });
  });

  it('ends in a named error, or in the same bytes, wherever the archive is damaged', async () => {
    const small = [...files].filter(([name]) => name !== 'weights.bin');
    const archive = zip(small);
    for (let at = 0; at < archive.length; at++) {
      const damaged = Uint8Array.from(archive);
      damaged[at]! ^= 1 << (at % 8);
      try {
        const source = zipSource(damaged);
        for (const [name, bytes] of small) expect((await source.read(name, bytes.length)).length).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(BundleError);
      }
    }
  });
});

describe('open', () => {
  it('names every option that it takes', async () => {
    await expect(open(base, null as never)).rejects.toThrow(/^options is null; allowed: an object of providers/);
    await expect(open(base, { signal: new AbortController() as never })).rejects.toThrow(new ArgumentError('signal is {}; allowed: an AbortSignal.'));
    await expect(open(base, { provider: 'cuda' } as never)).rejects.toThrow(new ArgumentError('Unknown option "provider"; allowed: providers, threads, split, worker, timeout, memoryLimit, cuda, '
      + 'optimization, selfTest, cache, maxBytes, headers, signal, onProgress.'));
    await expect(open(base, { cache: true as never })).rejects.toThrow(new ArgumentError('cache is true; allowed: the path of a folder, or false.'));
    await expect(open(base, { maxBytes: 'much' as never })).rejects.toThrow(new ArgumentError('maxBytes is "much"; allowed: a number from 1.'));
  });

  it.each([false, true])('says what an option may be, whether or not this bundle needs it (worker: %s)', async (worker) => {
    for (const [options, message] of [
      [{ optimization: 'max' }, 'optimization is "max"; allowed: disabled, basic, extended, all.'],
      [{ selfTest: 'no' }, 'selfTest is "no"; allowed: true, false.'],
      [{ cache: 5 }, 'cache is 5; allowed: the path of a folder, or false.'],
      [{ cache: '' }, 'cache is ""; allowed: the path of a folder, or false.'],
      [{ maxBytes: NaN }, 'maxBytes is NaN; allowed: a number from 1.'],
      [{ onProgress: 5 }, 'onProgress is 5; allowed: a function.'],
      [{ threads: 2n }, 'threads is 2n; allowed: an integer from 1 to 1024.'],
      [{ split: 2n }, 'split is 2n; allowed: true, false, "always".'],
      [{ cuda: [] }, 'cuda is []; allowed: an object of deviceId.'],
      // The values are the user's secrets.
      [{ headers: 'authorization: secret' }, 'headers is of type string; allowed: an object of names and texts of HTTP headers.'],
      [{ headers: { authorization: undefined } }, 'headers["authorization"] is of type undefined; allowed: an object of names and texts of HTTP headers.'],
      [{ headers: { authorization: 'Bearer secret\nx' } }, 'headers["authorization"] has a name or a text that no request can carry; allowed: an object of names and texts of HTTP headers.'],
    ] as const) await expect(open(files, { worker, ...options } as never), message).rejects.toThrow(new ArgumentError(message));
    await expect(open(files, [] as never)).rejects.toThrow(/^options is \[\]; allowed: an object of providers/);
  });

  it.each([
    [null, 'null'], [undefined, 'undefined'], [42, '42'], ['', '""'], [Symbol('a'), 'a symbol'], [new ArrayBuffer(8), 'an object of type ArrayBuffer'], [{}, 'an object of type Object'],
  ])('says that %s is no place of a bundle', async (where, shown) => {
    await expect(open(where as never)).rejects.toThrow(new ArgumentError(`The bundle is ${shown}; allowed: a folder, a zip file, a URL, the bytes of a zip archive (Uint8Array), or a Map of files.`));
  });

  it('says what is wrong with a URL, and with a Map of something else', async () => {
    await expect(open('http://[')).rejects.toThrow(new ArgumentError('"http://[" is no URL; allowed: https://…, or http:// on localhost.'));
    await expect(open(new URL('data:,x'))).rejects.toThrow(/^data: is not https: /);
    await expect(open(new Map([['manifest.json', '{}']]) as never)).rejects.toThrow(new ArgumentError('bundle in memory: manifest.json is "{}"; allowed: a Uint8Array.'));
  });

  it('takes the URL of a file, as text as well', async () => {
    const place = join(folder, 'a bundle');
    await mkdir(place);
    for (const [name, bytes] of files) if (!name.includes('/')) await writeFile(join(place, name), bytes);
    const url = pathToFileURL(place);
    for (const where of [url, url.href, url.href.replace('///', '/')]) expect((await bundleSource(where)).location).toBe(place);
    expect((await open(url.href)).manifest.name).toBe('fake');
    await expect(open('file://elsewhere/a')).rejects.toThrow(/^file:\/\/elsewhere\/a is the URL of no file here: /);
  });

  it('ends with the reason of its signal, which means nothing to the model', async () => {
    const reason = new Error('enough');
    await expect(open(base, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(requests).toEqual([]);
    const controller = new AbortController();
    answer = () => { controller.abort(reason); return true; };
    await expect(open(base, { cache: false, signal: controller.signal })).rejects.toBe(reason);
    answer = undefined;
    const later = new AbortController();
    const model = await open(base, { cache: false, signal: later.signal });
    later.abort(reason);
    // The files of this bundle are no graphs; what counts is that they are read.
    await expect(model.score({ shape: [1, 2], data: new Float32Array(2) })).rejects.not.toBe(reason);
    expect(requests).toContain('/models/a/ratio.onnx');
    await model.dispose();
  });
});

describe('folderSource', () => {
  it('reads files of more than 2 GiB, and says what is too large for an archive', async () => {
    // Almost all of it is a hole.
    const size = 2 ** 31 + 3;
    const path = join(folder, 'large.zip');
    await writeFile(path, 'ab');
    const file = await openFile(path, 'r+');
    await file.write('yz', size - 2);
    await file.close();
    const bytes = await folderSource(folder).read('large.zip', size);
    expect(bytes).toHaveLength(size);
    expect([bytes[0], bytes[1], bytes[2 ** 30], bytes[size - 2], bytes[size - 1]]).toEqual([97, 98, 0, 121, 122]);
    await expect(bundleSource(path)).rejects.toThrow(BundleError);
    await expect(bundleSource(path)).rejects.toThrow(`${path} cannot be read: `);
    await rm(path);
  }, 60_000);
});

describe('memorySource', () => {
  it('gives what is in the map', async () => {
    expect((await readManifest(memorySource(files))).name).toBe('fake');
    await expect((await bundleSource(files)).read('nothing')).rejects.toThrow(new BundleError('bundle in memory: nothing is missing.'));
    await expect(bundleSource(null as unknown as string)).rejects.toThrow(ArgumentError);
  });
});
