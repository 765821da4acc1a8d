import { describe, expect, it } from 'vitest';
import { checkEnvironment } from './environment.js';

const TOKEN = `calyx1.0123456789ab.${'s'.repeat(43)}.${'f'.repeat(43)}`;

describe('checkEnvironment', () => {
  it('is content with variables that fit', () => {
    const env = { PATH: '/bin', CALYX_STORE: 'http://127.0.0.1:7070,http://[::1]:7070', CALYX_DATA: '/data' };
    expect(checkEnvironment({ env, joined: false })).toMatchObject([{ severity: 'ok' }]);
  });

  it.each<[Record<string, string>, string, string]>([
    [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 'problem', 'believe every server'],
    [{ NODE_EXTRA_CA_CERTS: '/ca.pem' }, 'note', 'of no use to Calyx'],
    [{ HTTPS_PROXY: 'http://u:secret@p' }, 'note', 'uses no proxy'],
    [{ CALYX_STORE: 'http://10.0.0.1:7070' }, 'warning', 'CALYX_STORE names http://10.0.0.1:7070'],
    [{ CALYX_STORE: '' }, 'problem', 'empty'],
    [{ CALYX_STORE: 'ftp://u:secret@10.0.0.1' }, 'problem', 'not the address of a store'],
    [{ CALYX_SOTRE: 'x' }, 'note', 'CALYX_SOTRE is of no use'],
    [{ HF_TOKEN: TOKEN }, 'problem', 'huggingface.co'],
    [{ HF_TOKEN: TOKEN, HF_ENDPOINT: 'http://10.0.0.1:7070' }, 'problem', 'everyone on the way'],
  ])('%o is a %s', (env, severity, message) => {
    const verdicts = checkEnvironment({ env, joined: false });
    expect(verdicts).toMatchObject([{ severity, message: expect.stringContaining(message) as string }]);
    expect(JSON.stringify(verdicts)).not.toMatch(/secret|sssss/);
  });

  it('tells contradictions', () => {
    const mixed = { CALYX_STORE: 'http://10.0.0.1:7070,https://10.0.0.2:7070' };
    expect(checkEnvironment({ env: mixed, joined: true }).map(({ severity }) => severity)).toEqual([
      'note',
      'warning',
      'problem',
    ]);
    const pasted = { CALYX_STORE: `calyx://10.0.0.1:7070/#${TOKEN}` };
    expect(checkEnvironment({ env: pasted, joined: true })).toMatchObject([
      { severity: 'note', message: 'CALYX_STORE takes the place of the cluster that was joined' },
    ]);
    const fine = { HF_TOKEN: TOKEN, HF_ENDPOINT: 'https://10.0.0.1:7070' };
    expect(checkEnvironment({ env: fine, joined: true })).toMatchObject([{ severity: 'ok' }]);
  });
});
