/** Which bundle: those that the server lists, an address, or files that were chosen or dropped. */
import { bundleFiles, readZip } from '@ratioflow/web';
import type { BundleFiles } from '@ratioflow/web';
import { button, element, input, messageOf, text } from './page.js';

/** A bundle that can be opened. */
export interface Entry {
  /** For the address of the page; empty for files. */
  readonly id: string;
  readonly label: string;
  readonly detail: string;
  readonly bundle: string | BundleFiles;
}

export interface Library {
  /** The bundles that the server lists. */
  readonly listed: readonly Entry[];
  /** Chooses by identifier or URL, so that files which are still being read are of no interest. @returns the entry; undefined for what is neither */
  choose(id: string): Entry | undefined;
  show(): void;
}

/** Files by their path. */
type Files = readonly (readonly [string, Blob])[];

const isListed = (value: unknown): value is { id: string; name: string; sampleShape: number[]; path: string }[] =>
  Array.isArray(value) && value.every((item: unknown) => typeof (Object(item) as { id?: unknown }).id === 'string');

async function list(): Promise<Entry[]> {
  try {
    const value: unknown = await (await fetch('./bundles/index.json')).json();
    if (!isListed(value)) return [];
    const seen = new Set<string>();
    const shared = new Set(value.map(({ name }) => name).filter((name) => seen.has(name) || !seen.add(name)));
    return value.map(({ id, name, sampleShape, path }) => ({ id, label: shared.has(name) ? `${name} (${id})` : name, detail: `${path} · ${sampleShape.join(' × ')}`, bundle: `./bundles/${encodeURIComponent(id)}` }));
  } catch {
    return [];
  }
}

const isAddress = (id: string): boolean => /^https?:\/\//.test(id) && URL.canParse(id);
const remote = (url: string): Entry => ({ id: url, label: new URL(url).pathname.split('/').filter(Boolean).at(-1) ?? url, detail: url, bundle: url });

/** @param onOpen a bundle has been chosen @param onProblem what was chosen cannot be one */
export async function createLibrary(onOpen: (entry: Entry) => void, onProblem: (message: string) => void): Promise<Library> {
  const dialog = element('library', HTMLDialogElement);
  const listed = await list();
  /** How often something was chosen: files that are still being read then are of no interest. */
  let choices = 0;
  const openChosen = (entry: Entry): void => {
    choices++;
    dialog.close();
    onOpen(entry);
  };
  const chooseFiles = async (reading: Files | Promise<Files>): Promise<void> => {
    const mine = ++choices;
    try {
      const files = await reading;
      const only = files.length === 1 ? files[0]! : undefined;
      const found = only !== undefined && /\.zip$/i.test(only[0]) ? await readZip(only[1]) : bundleFiles(files);
      if (!found.has('manifest.json')) throw new Error('There is no manifest.json among these files: choose the folder of a bundle, all its files, or a ZIP of it.');
      if (mine === choices) openChosen({ id: '', label: 'files', detail: only?.[0] ?? '', bundle: found });
    } catch (error) {
      if (mine !== choices) return;
      dialog.close();
      onProblem(messageOf(error));
    }
  };

  for (const entry of listed) {
    const choice = document.createElement('button');
    choice.type = 'button';
    choice.append(entry.label, Object.assign(document.createElement('small'), { textContent: entry.detail }));
    choice.addEventListener('click', () => openChosen(entry));
    const item = document.createElement('li');
    item.append(choice);
    text('entries').append(item);
  }
  text('none').hidden = listed.length > 0;
  button('open').addEventListener('click', () => dialog.showModal());
  button('close').addEventListener('click', () => dialog.close());
  for (const id of ['folder', 'archive']) {
    input(id).addEventListener('change', () => {
      const files = [...input(id).files ?? []].map((file) => [file.webkitRelativePath || file.name, file] as const);
      input(id).value = '';
      if (files.length > 0) void chooseFiles(files);
    });
  }
  element('remote', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    openChosen(remote(input('address').value));
  });

  const screen = text('screen');
  addEventListener('dragover', (event) => {
    event.preventDefault();
    screen.classList.add('over');
  });
  addEventListener('dragleave', (event) => event.relatedTarget === null && screen.classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    screen.classList.remove('over');
    const items = [...event.dataTransfer?.items ?? []].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    // Files that are in no file system, dragged out of another program, have no entries.
    const files = [...event.dataTransfer?.files ?? []].map((file) => [file.name, file] as const);
    if (items.length > 0) void chooseFiles(filesUnder(items));
    else if (files.length > 0) void chooseFiles(files);
    else onProblem('What was dropped is no file: drop the folder of a bundle, its files, or a ZIP.');
  });

  return {
    listed,
    choose: (id) => {
      choices++;
      return listed.find((entry) => entry.id === id) ?? (isAddress(id) ? remote(id) : undefined);
    },
    show: () => dialog.showModal(),
  };
}

/** Files of dropped folders and files by path. */
async function filesUnder(entries: readonly FileSystemEntry[]): Promise<Files> {
  const found: [string, Blob][] = [];
  const visit = async (entry: FileSystemEntry, depth: number): Promise<void> => {
    // A bundle has a hundred files at most, two folders deep; whoever drops a disk is not kept waiting.
    if (found.length > 2000 || depth > 6) return;
    if (entry.isFile) found.push([entry.fullPath, await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))]);
    else {
      const reader = (entry as FileSystemDirectoryEntry).createReader();
      for (;;) {
        const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
        if (part.length === 0) break;
        for (const inner of part) await visit(inner, depth + 1);
      }
    }
  };
  for (const entry of entries) await visit(entry, 0);
  return found;
}
