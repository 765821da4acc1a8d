import { describe, expect, test } from 'vitest';
import { LOOPBACK_RULES, parseAllowRule, visibleTo } from './nfs-access.js';

const ROSE = { org: 'acme', name: 'rose' };
const LILY = { org: 'zeta', name: 'lily' };

describe('rules', () => {
  const rules = ['10.0.0.0/24=acme/*', '10.0.0.7', 'fd00::/8=zeta/*', '10.0.0.0/25=*/lily'].map(
    parseAllowRule,
  );
  const seen = (address: string): string | undefined => {
    const visible = visibleTo(address, rules);
    return visible && [ROSE, LILY].filter((model) => visible.models(model)).map(({ name }) => name).join(' '); // prettier-ignore
  };

  test.each([
    ['10.0.0.200', 'rose'],
    ['10.0.0.3', 'rose lily'],
    ['10.0.0.7', 'rose lily'],
    ['10.0.1.1', undefined],
    ['fd12::1', 'lily'],
    ['fe80::1', undefined],
    ['127.0.0.1', undefined],
    ['', undefined],
    ['nonsense', undefined],
  ])('%s sees %s', (address, models) => {
    expect(seen(address)).toBe(models);
  });
});

test('without rules this machine alone may mount', () => {
  for (const address of ['127.0.0.1', '127.8.8.8', '::1'])
    expect(visibleTo(address, LOOPBACK_RULES)?.models(ROSE), address).toBe(true);
  for (const address of ['10.0.0.1', '128.0.0.1', '::2', '0.0.0.0'])
    expect(visibleTo(address, LOOPBACK_RULES), address).toBeUndefined();
});

test.each(['', '10.0.0', '10.0.0.0/33', '10.0.0.0/', 'fd00::/129', 'host', '10.0.0.0/8=', '10.0.0.0/8=a', '1.2.3.4/8/8', '10.0.0.0/8=a/b=c', '10.0.0.0/-1', '10.0.0.0/1e1'])(
  'refuses %s',
  (text) => {
    expect(() => parseAllowRule(text)).toThrow(/names no addresses|no pattern of models/);
  },
); // prettier-ignore
