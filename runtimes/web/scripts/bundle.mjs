/**
 * dist/bundled: the package, the SDK and the engine's own modules as files for a page without a bundler, of what tsc built.
 *   ratioflow.js     @ratioflow/web and @ratioflow/sdk
 *   applications.js  @ratioflow/sdk/applications
 *   worker.js        what `open` starts
 * The engine's WebAssembly is not copied, as onnxruntime-web has it: the site puts it beside these files.
 */
import { copyFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const dist = join(import.meta.dirname, '../dist');
const out = join(dist, 'bundled');
/** Modules of the engine: they find their WebAssembly beside themselves and start threads of themselves, so they stay whole. */
const engine = { 'onnxruntime-web/webgpu': 'ort.webgpu.bundle.min.mjs', 'onnxruntime-web/wasm': 'ort.wasm.bundle.min.mjs' };
const served = (file) => file.replace(/\.mjs$/, '.js');

await rm(out, { recursive: true, force: true });
const all = 'virtual:ratioflow';
const build = await rolldown({
  input: { ratioflow: all, applications: '@ratioflow/sdk/applications', worker: join(dist, 'worker.js') },
  plugins: [{
    name: 'whole',
    resolveId: (id) => (id === all ? id : id in engine ? { id: `./${served(engine[id])}`, external: true } : null),
    load: (id) => (id === all ? `export * from '@ratioflow/sdk';\nexport * from ${JSON.stringify(join(dist, 'index.js'))};` : null),
  }],
});
await build.write({ dir: out, format: 'es', minify: true, entryFileNames: '[name].js', chunkFileNames: 'shared-[hash].js' });
await build.close();
for (const [specifier, file] of Object.entries(engine)) {
  await copyFile(join(dirname(fileURLToPath(import.meta.resolve(specifier))), file), join(out, served(file)));
}
