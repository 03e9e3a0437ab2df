/** Models whose weights lie in files beside them: small tensors are read, large ones stay where they are. */
import { mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { gradient, GraphBuilder, newModel, readModelFile, writeModel, type Constant } from '@ratioflow/export';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'ratioflow-external-'));
afterAll(() => { rmSync(folder, { recursive: true }); });

/** y = reshape(x, shape) · w, both constants in one file: the shape first, the weights at 4096. */
function save(name: string, extent: number, weights: Float32Array | undefined): string {
  const builder = new GraphBuilder('network');
  const x = builder.input('x', 'float32', ['N', extent / 2, 2]);
  const shape = builder.initializer('shape', { dtype: 'int64', dims: [2], data: new Uint8Array(BigInt64Array.of(-1n, BigInt(extent)).buffer) });
  const w = builder.initializer('w', { dtype: 'float32', dims: [extent, extent], data: { location: `${name}.bin`, offset: 4096, length: 4 * extent * extent } });
  builder.output('y', builder.op('Tanh', [builder.op('MatMul', [builder.op('Reshape', [x, shape]), w])]));
  const store = { place: (constant: Constant) => (constant.dtype === 'int64' ? { location: `${name}.bin`, offset: 0, length: 16 } : undefined) };
  const file = join(folder, `${name}.onnx`);
  writeFileSync(file, writeModel(newModel(builder.graph), store));
  const bytes = new Uint8Array(4096 + (weights?.byteLength ?? 0));
  bytes.set(new Uint8Array(BigInt64Array.of(-1n, BigInt(extent)).buffer));
  if (weights) bytes.set(new Uint8Array(weights.buffer), 4096);
  writeFileSync(join(folder, `${name}.bin`), bytes);
  return file;
}

describe('external data', () => {
  it('stays where it is, and the gradient runs beside it', async () => {
    const weights = Float32Array.from({ length: 36 }, (_, i) => Math.sin(i) / 3);
    const file = save('small', 6, weights);
    const model = gradient(await readModelFile(file, { keepBeyond: 100 }));
    expect([...model.graph.initializers.values()].filter(({ data }) => 'location' in data)).toHaveLength(1);
    const out = join(folder, 'small.grad.onnx');
    writeFileSync(out, writeModel(model));
    const session = await ort.InferenceSession.create(out);
    const x = Float32Array.from({ length: 6 }, (_, i) => i / 6);
    const results = await session.run({ x: new ort.Tensor('float32', x, [1, 3, 2]) });
    await session.release();
    // d Σ tanh(x W) / dx = (1 − tanh²(x W)) Wᵀ.
    const hidden = Array.from({ length: 6 }, (_, j) => 1 - Math.tanh(x.reduce((sum, value, i) => sum + value * weights[6 * i + j]!, 0)) ** 2);
    const expected = Array.from({ length: 6 }, (_, i) => hidden.reduce((sum, value, j) => sum + value * weights[6 * i + j]!, 0));
    [...(results['grad_x']!.data as Float32Array)].forEach((value, i) => { expect(value).toBeCloseTo(expected[i]!, 5); });
  });

  it('may be larger than any buffer: five gigabytes are differentiated without being read', async () => {
    const extent = 35_840;
    const file = save('large', extent, undefined);
    // A hole in a file: it takes no space on the disk.
    truncateSync(join(folder, 'large.bin'), 4096 + 4 * extent * extent);
    const before = process.memoryUsage().rss;
    const bytes = writeModel(gradient(await readModelFile(file, { keepBeyond: 1000 })));
    expect(bytes.length).toBeLessThan(10_000);
    expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
    await expect(readModelFile(save('short', extent, undefined), { keepBeyond: 1000 })).rejects.toThrow(/tensor "w" needs bytes 4096 to .* which has 4096: the file is truncated/);
  });

  it('is refused outside the folder, also behind a link, and when it is missing', async () => {
    const file = save('linked', 6, new Float32Array(36));
    rmSync(join(folder, 'linked.bin'));
    await expect(readModelFile(file, { keepBeyond: 0 })).rejects.toThrow(/"linked\.bin", which cannot be read/);
    symlinkSync('/etc/hostname', join(folder, 'linked.bin'));
    await expect(readModelFile(file, { keepBeyond: 0 })).rejects.toThrow(/a link that leads out of the model's folder: refused/);
    expect(readFileSync(file).length).toBeGreaterThan(0);
  });
});
