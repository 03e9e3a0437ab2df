/** Addresses relative to the page, in which a worker has one of its own. */
import { failArgument } from '@ratioflow/sdk/engine';

/** The absolute form of a URL. @param allowed what else may be there, for the message @throws {ArgumentError} for what is none */
export function absolute(field: string, value: string | URL, allowed = 'a URL'): string {
  try {
    if (typeof value === 'string' || value instanceof URL) return new URL(value, location.href).href;
  } catch {
    // Refused below.
  }
  return failArgument(field, value, allowed);
}
