import { Worker } from 'node:worker_threads';
import { errorMessage } from '../core/errors.js';
import type { RenderReply } from './chat-template-worker.js';

// The entry of a process which only stands between: the template runs in its thread, so that this thread stays awake. One huge
// allocation ends a whole process whatever the limits of its threads are; then it is this one.
const worker = new Worker(new URL('./chat-template-worker.js', import.meta.url), { env: {} });
const reply = (message: RenderReply): void => void process.send?.(message);
worker.on('message', reply);
worker.on('error', (error) => reply({ kind: 'failed', message: errorMessage(error) }));
process.on('message', (job) => worker.postMessage(job));
// Whoever asked is gone, so an endless template must not stay behind.
process.once('disconnect', () => process.exit());
