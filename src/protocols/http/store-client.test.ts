import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RefStatement } from '../../core/ref-statement.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { credentialOf, serveSecurely, testCluster } from '../../../test/support/secure-server.js';
import { StoreClient } from './store-client.js';

const MANIFEST = `${'a'.repeat(40)}${'0'.repeat(24)}`;
const GOOD = { model: 'acme/rose', revision: 'a'.repeat(40), manifest: MANIFEST, generation: 3 };
const MODEL = { org: 'acme', name: 'rose' };

/** A store that gives one answer to everything. */
async function storeThatAnswers(answer: unknown): Promise<URL> {
  const server = createServer((_request, response) => response.end(JSON.stringify(answer)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

async function identify(answers: readonly unknown[], revision = 'main'): Promise<unknown> {
  const urls = await Promise.all(answers.map(storeThatAnswers));
  const client = new StoreClient({ urls, credential: undefined });
  try {
    return await client.identify({ model: MODEL, revision });
  } finally {
    await client.close();
  }
}

describe('StoreClient', () => {
  it('takes what a store says of a ref', async () => {
    await expect(identify([GOOD])).resolves.toEqual({
      model: MODEL,
      revision: GOOD.revision,
      manifestDigest: MANIFEST,
    });
  });

  it('takes the highest generation of several stores', async () => {
    const newer = {
      ...GOOD,
      revision: 'b'.repeat(40),
      manifest: MANIFEST.replaceAll('a', 'b'),
      generation: 4,
    };
    await expect(identify([GOOD, newer])).resolves.toMatchObject({ revision: newer.revision });
  });

  it.each([
    ['another revision than the one that was pinned', GOOD, 'b'.repeat(40)],
    ['another model', { ...GOOD, model: 'evil/rose' }, 'main'],
  ])('does not believe %s', async (_, answer, revision) => {
    await expect(identify([answer], revision)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it.each([
    ['a generation that is no count', { ...GOOD, generation: 1e308 }],
    ['no digest', { ...GOOD, manifest: 'xyz' }],
    ['a list', []],
  ])('says that %s is no answer of a store', async (_, answer) => {
    await expect(identify([answer])).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('as a Calyx store') as unknown,
    });
  });

  it('takes what an open store says of a commit, whose id proves nothing', async () => {
    const commit = { ...GOOD, manifest: 'c'.repeat(64) };
    await expect(identify([commit], GOOD.revision)).resolves.toMatchObject({
      manifestDigest: commit.manifest,
    });
  });

  it('one store that lies does not hide one that does not', async () => {
    await expect(identify([{ ...GOOD, model: 'evil/rose' }, GOOD])).resolves.toMatchObject({
      revision: GOOD.revision,
    });
  });
});

describe('StoreClient with a credential', () => {
  const SAID = { model: GOOD.model, revision: GOOD.revision, manifest: GOOD.manifest, generation: 3 };

  /** Asks stores of one cluster, each of which gives one answer, for `revision`. */
  async function ask(
    answers: (sign: (statement: RefStatement) => string) => readonly object[],
    revision = 'main',
  ): Promise<unknown> {
    const cluster = await testCluster();
    const given = answers((statement) => cluster.signRef(statement));
    const urls = await Promise.all(
      given.map((answer) =>
        serveSecurely(cluster, (_request, response) => response.end(JSON.stringify(answer))),
      ),
    );
    const client = new StoreClient({ urls, credential: credentialOf(cluster) });
    onTestFinished(() => client.close());
    return client.identify({ model: MODEL, revision });
  }

  it('believes what the cluster has signed of a ref', async () => {
    const answered = ask((sign) => [{ ...SAID, ref: 'main', signature: sign({ ...SAID, ref: 'main' }) }]);
    await expect(answered).resolves.toMatchObject({ revision: GOOD.revision });
  });

  it.each<[string, (sign: (statement: RefStatement) => string) => object, string]>([
    ['no signature', () => SAID, 'is not signed'],
    ['no signature, but a ref', () => ({ ...SAID, ref: 'main' }), 'is not signed'],
    ['garbage', () => ({ ...SAID, signature: 'x'.repeat(96) }), 'wrong signature'],
    ['that of another ref', (sign) => ({ ...SAID, ref: 'main', signature: sign({ ...SAID, ref: 'old' }) }), 'wrong signature'],
    ['that of another model', (sign) => ({ ...SAID, signature: sign({ ...SAID, model: 'acme/other', ref: 'main' }) }), 'wrong signature'],
    ['that of a lower generation', (sign) => ({ ...SAID, generation: 4, signature: sign({ ...SAID, ref: 'main' }) }), 'wrong signature'],
  ])('does not believe %s', async (_, answer, says) => {
    await expect(ask((sign) => [answer(sign)])).rejects.toMatchObject({
      code: 'corrupt',
      message: expect.stringMatching(new RegExp(`https://127.*acme/rose@main.*${says}`)) as unknown,
    });
  }); // prettier-ignore

  it('takes the valid answer of another store, though a forged one has a higher generation', async () => {
    const forged = { ...SAID, revision: 'b'.repeat(40), manifest: 'b'.repeat(64), generation: 9 };
    const answered = ask((sign) => [
      { ...forged, signature: sign({ ...SAID, ref: 'main' }) },
      { ...SAID, signature: sign({ ...SAID, ref: 'main' }) },
      forged,
    ]);
    await expect(answered).resolves.toMatchObject({ revision: GOOD.revision });
  });

  describe('of a commit, whose id does not name its content,', () => {
    const commit = { ...SAID, manifest: 'c'.repeat(64), generation: 0 };
    const asRevision = { ...commit, ref: commit.revision };

    it('believes what the cluster has signed of it', async () => {
      const answered = ask((sign) => [{ ...commit, signature: sign(asRevision) }], commit.revision);
      await expect(answered).resolves.toMatchObject({ manifestDigest: commit.manifest });
    });

    it.each<[string, (sign: (statement: RefStatement) => string) => object, string]>([
      ['no signature', () => commit, 'is not signed'],
      ['that of a ref', (sign) => ({ ...commit, signature: sign({ ...commit, ref: 'main' }) }), 'wrong signature'],
      ['that of a ref of the same name', (sign) => ({ ...commit, signature: sign({ ...asRevision, generation: 1 }) }), 'wrong signature'],
      ['that of another manifest', (sign) => ({ ...commit, signature: sign({ ...asRevision, manifest: 'd'.repeat(64) }) }), 'wrong signature'],
      ['that of another model', (sign) => ({ ...commit, signature: sign({ ...asRevision, model: 'acme/other' }) }), 'wrong signature'],
    ])('does not believe %s', async (_, answer, says) => {
      await expect(ask((sign) => [answer(sign)], commit.revision)).rejects.toMatchObject({
        code: 'corrupt',
        message: expect.stringContaining(says) as unknown,
      });
    }); // prettier-ignore

    it('believes a ref that leads to it', async () => {
      const ref = { ...commit, generation: 3 };
      const answered = ask((sign) => [{ ...ref, signature: sign({ ...ref, ref: 'main' }) }]);
      await expect(answered).resolves.toMatchObject({ manifestDigest: commit.manifest });
    });
  });

  it('needs no signature for a revision, which names its content', async () => {
    await expect(ask(() => [SAID], GOOD.revision)).resolves.toMatchObject({ revision: GOOD.revision });
  });
});
