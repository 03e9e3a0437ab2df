/** The pages of the documentation hang together: links lead somewhere, tables are whole, files that are named exist. */
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from './pack.js';

const pages = ['README.md', ...(await readdir(join(root, 'docs'))).filter((file) => file.endsWith('.md')).map((file) => `docs/${file}`),
  ...['sdk', 'export', 'trainer', 'runtimes/node', 'runtimes/web', 'runtimes/cli'].map((folder) => `${folder}/README.md`)];
const textOf = (page: string): Promise<string> => readFile(join(root, page), 'utf8');

/** A heading's address, as GitHub makes it. */
const anchor = (heading: string): string => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').trim().replaceAll(' ', '-');
const anchorsOf = async (page: string): Promise<string[]> => [...(await textOf(page)).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading!));

describe.each(pages)('%s', (page) => {
  it('has links that lead somewhere', async () => {
    for (const [, target, fragment] of (await textOf(page)).matchAll(/\]\((?!https?:)([^)\s#]*)#?([^)\s]*)\)/g)) {
      const file = target === '' ? page : join(dirname(page), target!);
      expect(existsSync(join(root, file)), `${page}: ${target}`).toBe(true);
      if (fragment !== '') expect(await anchorsOf(file), `${page}: ${target}`).toContain(fragment);
    }
  });

  it('has tables that are whole: each begins with its heading, and all rows are as wide', async () => {
    const text = (await textOf(page)).replace(/^```[^]*?^```$/gm, '');
    for (const [table] of text.matchAll(/(?:^\|.*(?:\n|$))+/gm)) {
      const widths = table.trim().split('\n').map((row) => row.replaceAll('\\|', '').split('|').length);
      expect(table, page).toMatch(/^.*\n\|[-| :]+\|\n/);
      expect(new Set(widths).size, `${page}: ${table}`).toBe(1);
    }
  });

  it('names files of this project that exist', async () => {
    // What a build leaves is not there in a fresh clone.
    for (const [, file] of (await textOf(page)).matchAll(/`((?:tests|docs|runtimes|sdk|trainer|export|\.ci)\/[\w./-]+)`/g)) {
      if (!/(^|\/)(dist|target)(\/|$)|^docs\/api\//.test(file!)) expect(existsSync(join(root, file!)), `${page}: ${file}`).toBe(true);
    }
  });
});
