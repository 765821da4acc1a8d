import { expect, it } from 'vitest';
import type { FileFacts } from '../facts/file-facts.js';
import { checkAuditLog } from './audit-log.js';

const path = '/d/audit.log';
const file: FileFacts = { path, kind: 'file', mode: 0o600, uid: 0, size: 2048 };

it.each([
  [{ files: [file], writable: true }, 'ok', 'has 2.00 KiB and can be written'],
  [{ files: [file], writable: undefined }, 'ok', 'has 2.00 KiB'],
  [{ files: [], writable: undefined }, 'note', 'no audit log yet'],
  [{ files: [file], writable: false }, 'problem', 'cannot be written'],
  [{ files: [{ ...file, kind: 'directory' as const }], writable: true }, 'problem', 'is no file'],
  [{ files: [file, { ...file, size: 200 * 2 ** 20 }], writable: true }, 'warning', 'grown to 200.0 MiB'],
  [{ files: [{ path, why: 'permission denied' }], writable: undefined }, 'note', 'permission denied'],
])('%o is a %s', (facts, severity, message) => {
  expect(checkAuditLog({ path, ...facts })).toMatchObject([
    { severity, message: expect.stringContaining(message) as string },
  ]);
});
