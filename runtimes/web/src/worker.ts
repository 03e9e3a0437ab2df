/** Entry of the web worker in which `open` runs a model. Importing it starts it. */
import { serve } from './serve.js';
import type { Scope } from './serve.js';

serve(globalThis as unknown as Scope);
