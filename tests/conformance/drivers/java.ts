/** The Java driver (runtimes/java), through its test program ConformanceJobs. */
import { buildJava } from '../../support/java.js';
import type { Driver } from '../driver.js';
import { runProgram } from './program.js';

let built: ReturnType<typeof buildJava> | undefined;
const java = (): ReturnType<typeof buildJava> => (built ??= buildJava());

export const javaDrivers: readonly Driver[] = [{
  name: 'java-cpu', tolerance: 'cpu',
  absent: () => Promise.resolve(java().reason),
  run: (folder, jobs) => runProgram('java', ['-cp', java().classpath!, 'ratioflow.ConformanceJobs'], folder, jobs),
}];
