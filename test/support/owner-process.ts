// Run as a child process: owner-process.js DIRECTORY NAME. Tries to own the directory when told to and tells what happens,
// a line of JSON for each event; answers requests in the ways that the tests need.
import { createInterface } from 'node:readline';
import { CalyxError, isCalyxError } from '../../src/core/errors.js';
import { acquireOwnership, askOwner, type Ownership } from '../../src/storage/files/ownership.js';

const [directory = '', name = ''] = process.argv.slice(2);
let ownership: Ownership | undefined;

const tell = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);

async function handle(operation: string, input: unknown, signal: AbortSignal): Promise<unknown> {
  if (operation === 'echo') return { name, input };
  if (operation === 'nothing') return undefined;
  if (operation === 'refuse')
    throw new CalyxError('over-budget', `${name} has no room`, { hint: 'remove a model' });
  if (operation === 'break') throw new TypeError('a bug');
  // 'hang': until the one who asked has gone.
  tell({ event: 'asked' });
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  tell({ event: 'asker-gone' });
  return null;
}

async function obey(command: string): Promise<void> {
  if (command === 'acquire') {
    ownership = await acquireOwnership(directory, {
      description: `${name} (process ${process.pid})`,
      handler: ({ operation, input }, signal) => handle(operation, input, signal),
    });
    tell({ event: 'owner' });
  } else if (command === 'release') {
    await ownership?.release();
    tell({ event: 'released' });
  } else if (command === 'ask-hang') {
    await askOwner(directory, { operation: 'hang', input: null });
  }
}

createInterface({ input: process.stdin }).on('line', (command) => {
  obey(command).catch((error: unknown) => {
    if (!isCalyxError(error)) throw error;
    tell({ event: 'failed', code: error.code, message: error.message });
  });
});
tell({ event: 'ready' });
