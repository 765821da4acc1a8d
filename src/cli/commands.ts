import type { Command } from 'commander';

/** Adds a command to the program. */
export type Register = (program: Command) => void;

/**
 * The commands, in the order in which help shows them. Each is loaded when it is asked for: a command should not wait for what
 * only others need (an HTTP server, an inference runtime).
 */
export const COMMANDS: ReadonlyMap<string, () => Promise<Register>> = new Map([
  ['inspect', async () => (await import('./inspect.js')).inspectCommand],
  ['add', async () => (await import('./add.js')).addCommand],
  ['update', async () => (await import('./update.js')).updateCommand],
  ['list', async () => (await import('./list.js')).listCommand],
  ['verify', async () => (await import('./verify.js')).verifyCommand],
  ['rollback', async () => (await import('./rollback.js')).rollbackCommand],
  ['pin', async () => (await import('./pin.js')).pinCommand],
  ['unpin', async () => (await import('./pin.js')).unpinCommand],
  ['gc', async () => (await import('./gc.js')).gcCommand],
  ['remove', async () => (await import('./remove.js')).removeCommand],
  ['store', async () => (await import('./store.js')).storeCommand],
  ['token', async () => (await import('./token.js')).tokenCommand],
  ['doctor', async () => (await import('./doctor.js')).doctorCommand],
  ['advise', async () => (await import('./advise.js')).adviseCommand],
  ['join', async () => (await import('./join.js')).joinCommand],
  ['leave', async () => (await import('./leave.js')).leaveCommand],
  ['certificate', async () => (await import('./certificate.js')).certificateCommand],
  ['fetch', async () => (await import('./fetch.js')).fetchCommand],
  ['node', async () => (await import('./node.js')).nodeCommand],
  ['run', async () => (await import('./run.js')).runModelCommand],
  ['demo', async () => (await import('./demo.js')).demoCommand],
]);
