/** Every runtime that the conformance suite knows. */
import type { Driver } from '../driver.js';
import { javaDrivers } from './java.js';
import { nodeDrivers } from './node.js';
import { pythonDrivers } from './python.js';
import { webDrivers } from './web.js';

export const drivers: readonly Driver[] = [...nodeDrivers, ...webDrivers, ...pythonDrivers, ...javaDrivers];
