/** Where the bridging flow computes. */
import { createRuntime } from '@ratioflow/node';
import type { Runtime } from '@ratioflow/sdk';

/** Worker threads, among which the CPU splits every batch: the calling thread is free to make noise, draw progress and hear interrupts. */
export const flowRuntime = (provider: 'cpu' | 'cuda'): Runtime => createRuntime({ providers: [provider], worker: true, split: 'always' });
