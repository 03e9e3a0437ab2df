/** Options of opening and loading, checked where a runtime is made or a bundle opened: long before an engine sees them. */
import { failArgument, integer, object, oneOf, optional } from './check.js';
import type { OpenOptions } from './model.js';

const loading = object<OpenOptions>({
  threads: optional(integer(1, 1024)), optimization: optional(oneOf(['disabled', 'basic', 'extended', 'all'])), selfTest: optional(oneOf([true, false])),
});

/** Checks these among other options. @throws {ArgumentError} for a value out of range */
export function checkLoading(options: object): void {
  loading(options, '', failArgument);
}
