/** The Java driver, compiled once for whoever runs it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../runtimes/java', import.meta.url));

/** Compiles the Java driver and its test programs. @returns their class path, or why it cannot be had; a source that does not compile is an error */
export function buildJava(): { readonly classpath: string; readonly reason?: never } | { readonly classpath?: never; readonly reason: string } {
  if (spawnSync('javac', ['-version']).status !== 0) return { reason: 'no Java development kit (javac)' };
  if (spawnSync('mvn', ['-version']).status !== 0) return { reason: 'no Maven (mvn)' };
  const build = spawnSync('mvn', ['-q', '-B', 'test-compile'], { cwd: folder, encoding: 'utf8' });
  const output = build.stdout + build.stderr;
  if (build.status !== 0 && /Could not (resolve|transfer|find artifact)|Unknown host|Network is unreachable/.test(output)) return { reason: 'Maven cannot download ONNX Runtime for Java (no network?)' };
  if (build.status !== 0) throw new Error(output);
  const libraries = readFileSync(join(folder, 'target/classpath'), 'utf8').trim();
  return { classpath: [join(folder, 'target/classes'), join(folder, 'target/test-classes'), libraries].join(delimiter) };
}
