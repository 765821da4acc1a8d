import { X509Certificate, createPrivateKey, sign } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES, MODEL, VECTORS, emptyStore, publish, resolve, stage } from '../../test/support/catalog.js';
import { suiteDirectory } from '../../test/support/directories.js';
import { noOpenssl, openssl } from '../../test/support/openssl.js';
import { formatModelName, parseModelName } from '../core/names.js';
import { refStatementBytes, type RefStatement } from '../core/ref-statement.js';
import { publishStaged } from './publish.js';
import { checkRefs, signRefs, type RefSigner } from './sign-refs.js';
import type { StoreLayout } from './store-layout.js';

const DIRECTORY = suiteDirectory();
const OTHER = parseModelName('acme/tulip');
const RIGHT = parseModelName('acme/right');

interface Cluster extends RefSigner {
  /** The name of the file. */
  readonly publicKey: string;
}

/** A cluster whose key and certificate openssl has made. */
function cluster(name: string): Cluster {
  const [key, certificate] = [`${name}.key`, `${name}.pem`];
  openssl(DIRECTORY, 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key);
  openssl(DIRECTORY, 'req', '-x509', '-key', key, '-subj', `/CN=${name}`, '-out', certificate);
  const ca = readFileSync(join(DIRECTORY, certificate), 'utf8');
  const privateKey = createPrivateKey(readFileSync(join(DIRECTORY, key)));
  writeFileSync(
    join(DIRECTORY, `${name}.pub`),
    new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'pem' }),
  );
  return {
    ca,
    publicKey: `${name}.pub`,
    signRef: (statement) => sign('sha256', refStatementBytes(statement), privateKey).toString('base64url'),
  };
}

/** The record of a ref as it stands on the disk. */
function record(layout: StoreLayout, model = MODEL): Record<string, unknown> {
  return JSON.parse(readFileSync(layout.ref(model, 'main'), 'utf8')) as Record<string, unknown>;
}

/** Lets openssl check the signature of a record, over lines that this test writes. */
function expectSigned(layout: StoreLayout, publicKey: string, generation: number, model = MODEL): void {
  const { revision, manifest, signature } = record(layout, model);
  const lines = ['calyx ref 1', formatModelName(model), 'main', revision, manifest, generation];
  writeFileSync(join(DIRECTORY, 'lines'), `${lines.join('\n')}\n`);
  writeFileSync(join(DIRECTORY, 'signature'), Buffer.from(String(signature), 'base64url'));
  const args = ['-verify', publicKey, '-signature', 'signature', 'lines'];
  expect(openssl(DIRECTORY, 'dgst', '-sha256', ...args)).toEqual({ ok: true, text: 'Verified OK\n' });
}

describe.skipIf(noOpenssl)('a ref', () => {
  let ours: Cluster;
  let theirs: Cluster;
  beforeAll(() => {
    ours = cluster('ours');
    theirs = cluster('theirs');
  });

  it('is signed when it moves, and what it leads to tells so', async () => {
    const { layout, catalog } = emptyStore();
    await stage(layout, FIXTURES.qwen3);
    const { ref } = await publishStaged(layout, MODEL, undefined, (statement) => ours.signRef(statement));
    expect(record(layout)).toEqual(ref);
    expect(Object.keys(ref)).toEqual(['revision', 'generation', 'manifest', 'signature']);
    expectSigned(layout, ours.publicKey, 1);
    expect((await resolve(catalog)).ref).toEqual(ref);
    expect((await resolve(catalog, VECTORS.qwen3.revision)).ref).toBeUndefined();
  });

  it('and so is a revision whose id is a commit, when it is published and when the store starts', async () => {
    const { layout, catalog } = emptyStore();
    const commit = 'c0ffee'.padEnd(40, '1');
    await stage(layout, FIXTURES.qwen3, { revision: commit });
    const { ref } = await publishStaged(layout, MODEL, undefined, (statement) => ours.signRef(statement));
    expect(ref.revision).toBe(commit);
    const path = layout.revision(MODEL, commit);
    const expectRevisionSigned = (publicKey: string): void => {
      const { manifest, signature } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
      expect(manifest).toBe(VECTORS.qwen3.sha256);
      const lines = ['calyx ref 1', formatModelName(MODEL), commit, commit, manifest, 0];
      writeFileSync(join(DIRECTORY, 'lines'), `${lines.join('\n')}\n`);
      writeFileSync(join(DIRECTORY, 'signature'), Buffer.from(signature ?? '', 'base64url'));
      const args = ['-verify', publicKey, '-signature', 'signature', 'lines'];
      expect(openssl(DIRECTORY, 'dgst', '-sha256', ...args)).toEqual({ ok: true, text: 'Verified OK\n' });
    };
    expectRevisionSigned(ours.publicKey);
    expect((await resolve(catalog, commit)).signature).toBeDefined();
    // Of another cluster: the ref and the revision are signed anew; a replica would be told of both.
    const told: unknown[] = [];
    await checkRefs(
      layout,
      catalog,
      theirs.ca,
      (...wrong) => told.push(wrong),
      () => undefined,
    );
    expect(told).toEqual([
      [MODEL, 'main', 'has a wrong signature'],
      [MODEL, commit, 'has a wrong signature'],
    ]);
    expect(await signRefs(layout, catalog, theirs)).toBe(2);
    expectRevisionSigned(theirs.publicKey);
    expect(await signRefs(layout, catalog, theirs)).toBe(0);
    // A revision never changes: other files under the same commit are refused.
    await stage(layout, FIXTURES['mistral-f32'], { revision: commit });
    await expect(publishStaged(layout, MODEL)).rejects.toMatchObject({ code: 'exists' });
  });

  it('keeps its signature if it does not move', async () => {
    const { layout } = emptyStore();
    await stage(layout, FIXTURES.qwen3);
    const first = await publishStaged(layout, MODEL, undefined, (statement) => ours.signRef(statement));
    await stage(layout, FIXTURES.qwen3);
    const again = await publishStaged(layout, MODEL, undefined, (statement) => ours.signRef(statement));
    expect(again).toEqual({ ref: first.ref, moved: false });
    expect(record(layout)).toEqual(first.ref);
  });

  it('does not move if it cannot be signed', async () => {
    const { layout } = emptyStore();
    const { ref } = await publish(layout, FIXTURES.qwen3);
    await stage(layout, FIXTURES['qwen2-tied']);
    const refuse = (): Promise<string> => Promise.reject(new Error('no key'));
    await expect(publishStaged(layout, MODEL, undefined, refuse)).rejects.toThrow('no key');
    expect(record(layout)).toEqual(ref);
    const { ref: moved } = await publishStaged(layout, MODEL, undefined, (statement) =>
      ours.signRef(statement),
    );
    expect(moved.generation).toBe(2);
    expectSigned(layout, ours.publicKey, 2);
  });

  it('that has no signature gets one at the start, and says the same as before', async () => {
    const { layout, catalog } = emptyStore();
    const { ref } = await publish(layout, FIXTURES.qwen3);
    expect(record(layout)).not.toHaveProperty('signature');
    expect(await signRefs(layout, catalog, ours)).toBe(1);
    expect(record(layout)).toEqual({ ...ref, signature: expect.any(String) as string });
    expectSigned(layout, ours.publicKey, 1);
    const kept = record(layout);
    expect(await signRefs(layout, catalog, ours)).toBe(0);
    expect(record(layout)).toEqual(kept);
  });

  it.each([
    ['of another cluster', () => theirs],
    [
      'of another statement',
      () => ({
        ...ours,
        signRef: () =>
          ours.signRef({ model: 'acme/rose', ref: 'main', revision: 'x', manifest: 'y', generation: 1 }),
      }),
    ],
    ['that is none', () => ({ ...ours, signRef: () => 'no signature' })],
  ])('with a signature %s gets a right one at the start', async (_, signer) => {
    const { layout, catalog } = emptyStore();
    await stage(layout, FIXTURES.qwen3);
    await publishStaged(layout, MODEL, undefined, (statement) => signer().signRef(statement));
    expect(await signRefs(layout, catalog, ours)).toBe(1);
    expectSigned(layout, ours.publicKey, 1);
  });

  it('is signed although the record of another model is damaged, which stays as it is and is told', async () => {
    const { layout, catalog } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    await publish(layout, FIXTURES.qwen3, { model: OTHER });
    for (const [damaged, whole] of [
      [MODEL, OTHER],
      [OTHER, MODEL],
    ] as const) {
      const before = readFileSync(layout.ref(damaged, 'main'));
      writeFileSync(layout.ref(damaged, 'main'), '{"revision":');
      const told: unknown[] = [];
      await signRefs(layout, catalog, ours, (model, error) => told.push(model, error));
      expect(told).toEqual([damaged, expect.objectContaining({ code: 'corrupt' })]);
      expect(readFileSync(layout.ref(damaged, 'main'), 'utf8')).toBe('{"revision":');
      expectSigned(layout, ours.publicKey, 1, whole);
      writeFileSync(layout.ref(damaged, 'main'), before);
    }
    expect(readdirSync(layout.refs(MODEL))).toEqual(['main.json']);
  });

  it('is told of where it cannot be signed, and stays as it is', async () => {
    const { layout, catalog } = emptyStore();
    await publish(layout, FIXTURES.qwen3);
    const sign = (signer: RefSigner) => (statement: RefStatement) => signer.signRef(statement);
    for (const [model, signer] of [
      [OTHER, theirs],
      [RIGHT, ours],
    ] as const) {
      await stage(layout, FIXTURES.qwen3, { model });
      await publishStaged(layout, model, undefined, sign(signer));
    }
    writeFileSync(layout.ref(RIGHT, 'damaged'), '{');
    const before = record(layout);
    const told: unknown[] = [];
    const onDamaged = (model: unknown): unknown => told.push([model, 'is damaged']);
    await checkRefs(layout, catalog, ours.ca, (...wrong) => told.push(wrong), onDamaged);
    expect(told).toEqual(
      expect.arrayContaining([
        [MODEL, 'main', 'is not signed'],
        [OTHER, 'main', 'has a wrong signature'],
        [RIGHT, 'is damaged'],
      ]),
    );
    expect(told).toHaveLength(3);
    expect(record(layout)).toEqual(before);
  });
});
