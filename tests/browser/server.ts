/** A small static file server with headers of one's choice, for tests. */
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png',
};

/** Headers that make a page cross-origin isolated. */
export const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export interface Server {
  readonly url: string;
  /** Paths asked for, in order. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** @param folders URL prefix → folder, the first that fits counts @param headers of every answer */
export async function serveFiles(
  folders: Readonly<Record<string, string>>, headers: (request: IncomingMessage) => Readonly<Record<string, string>> = () => ({}),
): Promise<Server> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
      requests.push(path);
      const prefix = Object.keys(folders).find((start) => path.startsWith(start));
      const folder = prefix === undefined ? '' : folders[prefix]!;
      let file = normalize(join(folder, path.slice(prefix?.length ?? 0)));
      try {
        if (prefix === undefined || !(file + sep).startsWith(normalize(folder) + sep)) throw new Error('outside');
        if ((await stat(file)).isDirectory()) file = join(file, 'index.html');
        const content = await readFile(file);
        response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Length': content.byteLength, ...headers(request) }).end(content);
      } catch {
        response.writeHead(404, { 'Content-Type': 'text/plain', ...headers(request) }).end('not found');
      }
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    }),
  };
}
