import { defineConfig } from 'vite';
import { localBundles } from './local-bundles.js';

/** Makes the page cross-origin isolated, so that WebAssembly may use threads. */
const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  // One page: what is not there is answered 404, where a single-page application would answer with itself.
  appType: 'mpa',
  plugins: [localBundles()],
  server: { headers },
  preview: { headers },
  // A bundled dependency would no longer find its WebAssembly beside it.
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  worker: { format: 'es' },
  build: { target: 'es2023', outDir: 'dist', emptyOutDir: true, assetsInlineLimit: 0 },
});
