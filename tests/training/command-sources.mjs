/** The command line in a process of its own, on the sources: `node command-sources.mjs train <config.yaml> …`. */
import { loadSources } from '../support/load-sources.mjs';

const { load, close } = await loadSources();
await load('runtimes/cli/src/main.ts');
await close();
