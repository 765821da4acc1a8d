import { expect, it } from 'vitest';
import type { TokenRecord } from '../../../cluster/tokens/token-record.js';
import { checkStoreTokens } from './store-tokens.js';

const NOW = 1_000_000;
const local: TokenRecord = { id: '000000000000', name: 'local', role: 'admin', models: '*', createdAt: 0 };
const reader: TokenRecord = { ...local, id: '111111111111', name: 'reader', role: 'read' };

it('is content with the own token and those that read', () => {
  expect(checkStoreTokens([local, reader], NOW)).toEqual([
    { severity: 'ok', message: '2 tokens can be used' },
  ]);
});

it('notes endless admins and expired ones, but not revoked ones', () => {
  const boss = { ...local, id: '222222222222', name: 'boss' };
  const past = { ...reader, id: '333333333333', name: 'past', expiresAt: NOW };
  const gone = { ...boss, revokedAt: 5 };
  const brief = { ...boss, expiresAt: NOW + 1 };
  expect(checkStoreTokens([local, boss, past, gone, brief], NOW)).toMatchObject([
    { severity: 'ok', message: '3 tokens can be used' },
    { severity: 'note', message: '1 admin token without an end: 222222222222 (boss)' },
    { severity: 'note', message: '1 token expired: 333333333333 (past)' },
  ]);
});

it('warns of more than anybody can keep in mind', () => {
  const many = Array.from({ length: 201 }, () => reader);
  expect(checkStoreTokens(many, NOW)).toMatchObject([{ severity: 'ok' }, { severity: 'warning' }]);
});
