import { join } from 'node:path';
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { calyxJson, cleanEnvironment, start, startCalyx } from '../support/cli.js';
import { ROOT, suiteDirectory, testDirectory } from '../support/directories.js';
import { hf, hubCall, hubCalls, type CallOutcome, type HubSettings } from '../support/hub-client.js';
import { TINY } from '../support/models.js';
import { enginesPython, petalsPython } from '../support/python-engines.js';
import { digestsBelow } from '../support/read-tree.js';
import { RealCluster, wrongSecret, type Holder } from '../support/real-cluster.js';

// A store that asks for tokens, for clients that know nothing of Calyx: they have HF_TOKEN, and ca.pem that `calyx join` wrote.
const SLOW = { timeout: 180_000 };
const scratch = suiteDirectory();
let cluster: RealCluster;
let reader: Holder;
let ca: string;

beforeAll(async () => {
  const data = join(scratch, 'data');
  for (const name of ['acme/tiny', 'beta/tiny']) await calyxJson('add', TINY, '--name', name, '--data', data);
  cluster = await RealCluster.start(data);
  reader = await cluster.token('read', { name: 'reader of beta', models: 'beta/*' });
  const config = join(scratch, 'config');
  const joined = await startCalyx(['join', cluster.joinString(reader)], { XDG_CONFIG_HOME: config }).ended;
  expect(joined, joined.stderr).toMatchObject({ code: 0 });
  ca = join(config, 'calyx/ca.pem');
  return async () => {
    await cluster.store.stop();
  };
});

function settings(token?: string): HubSettings {
  return {
    HF_ENDPOINT: `https://127.0.0.1:${cluster.store.port}`,
    HF_HOME: testDirectory(),
    REQUESTS_CA_BUNDLE: ca,
    SSL_CERT_FILE: ca,
    ...(token !== undefined && { HF_TOKEN: token }),
  };
}

describe('a token in HF_TOKEN', SLOW, () => {
  it('opens what its pattern shows', async (context) => {
    const python = enginesPython(context);
    const mine = settings(reader.text);
    for (const [repo_id, files] of [
      ['beta/tiny', 11],
      ['beta/tiny_blocks_0-2_embed', 10],
    ] as const) {
      const path = String(await hubCall(python, mine, 'snapshot_download', { repo_id }));
      const digests = await digestsBelow(path);
      expect(Object.keys(digests)).toHaveLength(files);
      if (files === 11) expect(digests).toEqual(await digestsBelow(TINY));
    }
    const listed = await hf(python, mine, 'models', 'ls', '--format', 'json');
    expect((JSON.parse(listed.stdout) as { id: string }[]).map(({ id }) => id)).toEqual(['beta/tiny']);
  });

  it('opens it to an older client, which has its certificates elsewhere', async (context) => {
    const python = petalsPython(context);
    const mine = { ...settings(), SSL_CERT_FILE: '', HUGGING_FACE_HUB_TOKEN: reader.text };
    const path = String(await hubCall(python, mine, 'snapshot_download', { repo_id: 'beta/tiny' }));
    expect(await digestsBelow(path)).toEqual(await digestsBelow(TINY));
  });

  it('has a form that clients take for a token of the Hub', async (context) => {
    const { hub } = await calyxJson('token', 'create', '--hub', '--name', 'for node', '--data', cluster.data);
    const { HF_ENDPOINT: hubUrl = '', HF_TOKEN: accessToken = '' } = hub as Record<string, string>;
    expect(hubUrl).toBe(settings()['HF_ENDPOINT']);
    // This client refuses all others.
    const script = `import { listFiles, whoAmI } from '@huggingface/hub';
      const { hubUrl, accessToken } = process.env;
      const { name } = await whoAmI({ hubUrl, accessToken });
      let files = 0;
      for await (const _ of listFiles({ repo: 'beta/tiny', hubUrl, accessToken })) files += 1;
      console.log(name, files);`;
    const env = cleanEnvironment({ NODE_EXTRA_CA_CERTS: ca, hubUrl, accessToken });
    const args = ['--input-type=module', '--eval', script];
    const told = await start(process.execPath, args, { cwd: ROOT, env }).ended;
    expect(told, told.stderr).toMatchObject({ code: 0, stdout: 'for node 11\n' });
    const whoami = await hf(enginesPython(context), settings(accessToken), 'auth', 'whoami');
    expect(whoami.stdout, whoami.stderr).toContain('for node');
  });

  it('says whose it is', async (context) => {
    const python = enginesPython(context);
    const told = await hf(python, settings(reader.text), 'auth', 'whoami');
    expect(told, told.stderr).toMatchObject({ code: 0 });
    expect(told.stdout).toContain('reader of beta');
  });

  it('finds what its pattern hides as little as what is not there', async (context) => {
    const python = enginesPython(context);
    const outcomes = await hubCalls(
      python,
      settings(reader.text),
      ...['acme/tiny', 'acme/none', 'acme/tiny_blocks_0-1', 'acme/none_blocks_0-1'].flatMap((repo_id) => [
        ['repo_info', { repo_id }] as const,
        ['hf_hub_download', { repo_id, filename: 'config.json' }] as const,
        ['get_paths_info', { repo_id, paths: ['config.json'], revision: 'nothing' }] as const,
      ]),
    );
    for (const { error } of outcomes) expect(error).toContain('RepositoryNotFoundError');
    const texts = outcomes.map(plain);
    // Of models, then of slices.
    expect(texts.slice(0, 3)).toEqual(texts.slice(3, 6));
    expect(texts.slice(6, 9)).toEqual(texts.slice(9, 12));
  });
});

describe('without a token that counts', SLOW, () => {
  const ask = async (context: TestContext, token?: string): Promise<readonly CallOutcome[]> =>
    hubCalls(
      enginesPython(context),
      settings(token),
      ['repo_info', { repo_id: 'beta/tiny' }],
      ['hf_hub_download', { repo_id: 'beta/tiny', filename: 'config.json' }],
      ['list_repo_files', { repo_id: 'beta/none' }],
    );

  it('nothing is shown: clients take it for a repository that may be private', async (context) => {
    for (const { error, message } of await ask(context)) {
      expect(error).toContain('RepositoryNotFoundError');
      expect(message).toContain('401 Client Error');
      expect(message).toMatch(/token/);
    }
  });

  it('the client says that the token is wrong', async (context) => {
    const outcomes = await ask(context, wrongSecret(reader));
    for (const [index, { error, message }] of outcomes.entries()) {
      expect(error).toContain('HfHubHTTPError');
      expect(error).not.toContain('RepositoryNotFoundError');
      expect(message).toContain('Invalid credentials in Authorization header');
      // Answers to HEAD, by which a download begins, have no text.
      if (index !== 1) expect(message).toContain('this token is not known here');
    }
  });

  it('a certificate that the client does not trust ends it before anything is sent', async (context) => {
    const python = enginesPython(context);
    const untrusting = { ...settings(reader.text), REQUESTS_CA_BUNDLE: '', SSL_CERT_FILE: '' };
    const [outcome] = await hubCalls(python, untrusting, ['repo_info', { repo_id: 'beta/tiny' }]);
    expect(outcome?.message).toMatch(/certificate verify failed|CERTIFICATE_VERIFY_FAILED/i);
  });
});

/** A message without what differs from question to question: names, and ids of requests. */
function plain({ message }: CallOutcome): string {
  return (message ?? '')
    .replace(/acme\/(?:tiny|none)/g, 'MODEL')
    .replace(/\(Request ID: [^)]*\)/g, '')
    .trim();
}
