import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { testDirectory } from '../../../test/support/directories.js';
import { parseAddSource } from './add-source.js';
import { hubAccess } from './hub-access.js';

const NO_ENV = {};
const none = (): void => undefined;

describe('the source of calyx add', () => {
  it.each<[string, string, string, string]>([
    ['acme/rose', 'https://huggingface.co/', 'acme/rose', 'main'],
    ['acme/rose@v1.0', 'https://huggingface.co/', 'acme/rose', 'v1.0'],
    ['acme/rose@refs/pr/3', 'https://huggingface.co/', 'acme/rose', 'refs/pr/3'],
    ['https://huggingface.co/acme/rose/tree/main', 'https://huggingface.co/', 'acme/rose', 'main'],
    ['https://huggingface.co/acme/rose/tree/refs%2Fpr%2F3', 'https://huggingface.co/', 'acme/rose', 'refs/pr/3'],
    ['http://127.0.0.1:7070/acme/rose@abc', 'http://127.0.0.1:7070/', 'acme/rose', 'abc'],
    ['https://proxy.lan/artifactory/hf/acme/rose/', 'https://proxy.lan/artifactory/hf', 'acme/rose', 'main'],
  ])('%s is on a Hub', async (text, endpoint, repo, revision) => {
    const source = await parseAddSource(text, none, NO_ENV);
    expect(source.kind).toBe('hub');
    if (source.kind !== 'hub') return;
    expect(source.endpoint.href).toBe(endpoint);
    expect(`${source.repo.org}/${source.repo.name}`).toBe(repo);
    expect(source.revision).toBe(revision);
  }); // prettier-ignore

  it('asks the mirror that HF_ENDPOINT names', async () => {
    const source = await parseAddSource('acme/rose', none, { HF_ENDPOINT: 'https://mirror.lan' });
    expect(source).toMatchObject({ kind: 'hub', endpoint: new URL('https://mirror.lan/') });
    await expectError(
      () => parseAddSource('acme/rose', none, { HF_ENDPOINT: 'mirror' }),
      'usage',
      'HF_ENDPOINT',
    );
  });

  it.each([
    'ftp://host/acme/rose',
    'https://user:pass@host/acme/rose',
    'https://host/rose',
    'acme/rose@../x',
  ])('refuses %s', async (text) => {
    const error = await expectError(() => parseAddSource(text, none, NO_ENV), 'usage');
    expect(error.message).not.toContain('pass@');
  });

  it('is a path if it looks like one, or there is a file', async () => {
    const directory = testDirectory();
    mkdirSync(join(directory, 'a'));
    writeFileSync(join(directory, 'model.gguf'), '');
    for (const text of [join(directory, 'a'), join(directory, 'model.gguf'), './nothing/here', 'one'])
      expect(await parseAddSource(text, none, NO_ENV)).toMatchObject({ kind: 'directory', directory: text });
  });
});

describe('what a server is told', () => {
  const home = testHome();
  const env = { HF_TOKEN: 'hf_secret', XDG_CONFIG_HOME: home, HF_HOME: home };

  it.each<[string, NodeJS.ProcessEnv, string | undefined]>([
    ['https://huggingface.co/', env, 'hf_secret'],
    ['https://elsewhere.example/', env, undefined],
    ['http://huggingface.co/', env, undefined],
    ['https://mirror.lan/', { ...env, HF_ENDPOINT: 'https://mirror.lan' }, 'hf_secret'],
    ['https://huggingface.co/', { ...env, HF_ENDPOINT: 'https://mirror.lan' }, undefined],
    ['http://mirror.lan/', { ...env, HF_ENDPOINT: 'http://mirror.lan' }, undefined],
    ['http://127.0.0.1:80/', { ...env, HF_ENDPOINT: 'http://127.0.0.1' }, 'hf_secret'],
    ['https://huggingface.co/', { ...env, HF_TOKEN: '' }, undefined],
  ])('%s', async (url, given, token) => {
    expect((await hubAccess(new URL(url), given)).token).toBe(token);
  });

  it('is no text that could be two headers', async () => {
    const error = await expectError(
      () => hubAccess(new URL('https://huggingface.co/'), { ...env, HF_TOKEN: 'hf_secret\nx: y' }),
      'usage',
      'HF_TOKEN is not a token',
    );
    expect(error.message).not.toContain('secret');
  });
});

/** A place with no settings of a user. */
function testHome(): string {
  return '/nonexistent-home-of-a-test';
}
