/**
 * A flow of `@ratioflow/node` on WebGPU, x staying on the device, in a process that has looked for its driver when it started: the folder of a
 * bundle → one line of JSON, what it found there and on the CPU.
 */
import { open } from '@ratioflow/node';
import { Tensor } from 'onnxruntime-node';

const [folder] = process.argv.slice(2);
const { dispose } = Tensor.prototype;
let freed = 0;
Tensor.prototype.dispose = function free() {
  if (this.location === 'gpu-buffer') freed++;
  dispose.call(this);
};
const settings = { count: 5, seed: 3, first: 2, K: 9, kappa: 2 };
const device = await open(folder, { providers: ['webgpu'] });
const cpu = await open(folder);
await device.prior();
await device.sample({ count: 1, K: 1, kappa: 0 });
freed = 0;
const { samples, statistics } = await device.sample(settings);
const freedBySample = freed;
const found = { samples: [...samples.data], statistics, expected: [...(await cpu.sample(settings)).samples.data] };

// Frames are read between steps; leaving a flow frees what it had on the device.
const frames = [];
for await (const { x, step } of device.flow({ count: 2, seed: 3, K: 4, kappa: 0, every: 2 })) frames.push([step, [...x.data]]);
const expectedFrames = [];
for await (const { x, step } of cpu.flow({ count: 2, seed: 3, K: 4, kappa: 0, every: 2 })) expectedFrames.push([step, [...x.data]]);
freed = 0;
for await (const { step } of device.flow({ count: 2 })) if (step === 3) break;
const freedByFlow = freed;

// One step and its ratio come to the host.
const x = await device.prior({ count: 3, seed: 8 });
const noise = { shape: x.shape, data: x.data.map((value) => -value) };
const [step, expectedStep] = (await Promise.all([device, cpu].map((model) => model.step(x, noise)))).map(({ next, logRatio }) => [...next.data, ...logRatio]);
const verification = await device.verify();

// Calls at once, and one after the other.
const together = (await Promise.all(Array.from({ length: 8 }, (_, seed) => device.sample({ ...settings, seed })))).map(({ samples: { data } }) => [...data]);
const alone = [];
for (let seed = 0; seed < 8; seed++) alone.push([...(await device.sample({ ...settings, seed })).samples.data]);
await device.dispose();
const refused = await device.sample(settings).catch((error) => error.message);
await cpu.dispose();
console.log(JSON.stringify({ ...found, frames, expectedFrames, step, expectedStep, passed: verification.passed, together, alone, refused, freedBySample, freedByFlow }));
process.exit(0);
