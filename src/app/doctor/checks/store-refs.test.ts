import { expect, it } from 'vitest';
import { checkStoreRefs } from './store-refs.js';

const fine = { models: 2, unsigned: [], damaged: [], storeRuns: true };

it('is content with refs that are signed', () => {
  expect(checkStoreRefs(fine)).toEqual([{ severity: 'ok', message: '2 models, all refs whole and signed' }]);
  expect(checkStoreRefs({ ...fine, unsigned: undefined })).toEqual([
    { severity: 'ok', message: '2 models, all refs whole' },
  ]);
});

it('names those without a signature, and those that are damaged', () => {
  const damaged = [
    { model: 'org/bad', why: 'no record', hint: 'remove the file', denied: false },
    { model: 'org/shy', why: 'permission denied', denied: true },
  ];
  expect(checkStoreRefs({ ...fine, unsigned: ['org/a@main'], damaged, storeRuns: false })).toMatchObject([
    { severity: 'problem', message: expect.stringContaining('org/bad') as string, wayOut: 'remove the file' },
    { severity: 'note', message: 'could not look at the refs of org/shy: permission denied' },
    {
      severity: 'warning',
      message: expect.stringContaining('1 ref without a signature of this cluster: org/a@main') as string,
      wayOut: expect.stringContaining('signs them when it starts') as string,
    },
  ]);
});
