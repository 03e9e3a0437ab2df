export { run } from './run.js';
export type { Surroundings } from './run.js';
