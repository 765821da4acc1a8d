import { access, constants } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { identityFile } from '../../../cluster/identity/cluster-identity.js';
import { parseIdentity } from '../../../cluster/identity/identity-file.js';
import type { DiskCatalog } from '../../../catalog/catalog-reader.js';
import { statementOf } from '../../../catalog/sign-refs.js';
import type { StoreLayout } from '../../../catalog/store-layout.js';
import { errorMessage, isCalyxError, systemCode } from '../../../core/errors.js';
import { certificateFingerprint } from '../../../core/fingerprint.js';
import { formatModelName, type ModelName } from '../../../core/names.js';
import { verifyRef } from '../../../core/verify-ref.js';
import { askOwner } from '../../../storage/files/ownership.js';
import { DESCRIBE_STORE, storeDescriptionSchema } from '../../store/describe-store.js';
import { localTokenPath } from '../../store/owner-commands.js';
import type { AuditFacts } from '../checks/audit-log.js';
import type { RunningFacts } from '../checks/running-store.js';
import type { IdentityFacts } from '../checks/store-identity.js';
import type { RefsFacts } from '../checks/store-refs.js';
import { filesIn, isHidden, whyHidden } from './file-facts.js';
import { readSmall } from './read-small.js';

const MAX_SMALL = 16 * 1024;

/** The identity of a store, whoever may read it; and its certificate, by which refs are judged. */
export async function identityFacts(
  layout: StoreLayout,
): Promise<{ readonly facts: IdentityFacts; readonly ca: string | undefined }> {
  const path = identityFile(layout.cluster);
  const read = await readSmall(path, MAX_SMALL);
  if (read === undefined) return { facts: { kind: 'missing', path }, ca: undefined };
  if ('why' in read) return { facts: { kind: 'hidden', path, why: read.why }, ca: undefined };
  try {
    const { certificate } = parseIdentity(path, read.text);
    const facts = {
      kind: 'good',
      fingerprint: certificateFingerprint(certificate.raw),
      notBefore: Date.parse(certificate.validFrom),
      notAfter: Date.parse(certificate.validTo),
    } as const;
    return { facts, ca: certificate.toString() };
  } catch (error) {
    const hint = isCalyxError(error) ? error.hint : undefined;
    return { facts: { kind: 'damaged', message: errorMessage(error), hint }, ca: undefined };
  }
}

/** Asks the store that owns a data directory how it runs. Sockets of dead processes are left where they are. */
export async function runningFacts(layout: StoreLayout, signal: AbortSignal): Promise<RunningFacts> {
  const path = localTokenPath(layout);
  const token = await readSmall(path, MAX_SMALL);
  try {
    const request = {
      operation: DESCRIBE_STORE,
      input: {},
      token: token !== undefined && 'text' in token ? token.text.trim() : undefined,
    };
    const answer = await askOwner(layout.owners, request, { signal, leaveDead: true });
    // Who may not read the one may not speak to the sockets either, which then seem dead.
    if (answer === undefined && token !== undefined && 'why' in token)
      return { kind: 'untold', why: `${path}: ${token.why}` };
    if (answer === undefined) return { kind: 'none' };
    return { kind: 'runs', description: storeDescriptionSchema.parse(answer.output) };
  } catch (error) {
    if (token !== undefined && 'why' in token) return { kind: 'untold', why: `${path}: ${token.why}` };
    const why = signal.aborted
      ? 'it does not answer in time'
      : isCalyxError(error)
        ? errorMessage(error)
        : whyHidden(error);
    return { kind: 'untold', why };
  }
}

/** The audit log, and whether we could write it. */
export async function auditFacts(layout: StoreLayout): Promise<AuditFacts> {
  const path = join(layout.cluster, 'audit.log');
  const files = (await filesIn(layout.cluster)).filter(
    (file) => isHidden(file) || basename(file.path).startsWith('audit.log'),
  );
  const writable = await access(path, constants.W_OK).then(
    () => true,
    (error: unknown) => (systemCode(error) === 'ENOENT' || !ownedByUs(files, path) ? undefined : false),
  );
  return { path, files, writable };
}

function ownedByUs(files: AuditFacts['files'], path: string): boolean {
  const user = process.getuid?.();
  return user === 0 || files.some((file) => file.path === path && !isHidden(file) && file.uid === user);
}

/** @param ca the certificate of the cluster, PEM; undefined if it is not known */
export async function refsFacts(
  catalog: DiskCatalog,
  ca: string | undefined,
  storeRuns: boolean,
): Promise<RefsFacts> {
  const models = await catalog.models();
  const unsigned: string[] = [];
  const damaged: RefsFacts['damaged'][number][] = [];
  for (const model of models) {
    const name = formatModelName(model);
    try {
      for (const [ref, record] of await catalog.refs(model))
        if (ca !== undefined && !verifyRef(statementOf(model, ref, record), record.signature ?? '', ca))
          unsigned.push(`${name}@${ref}`);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      const denied = systemCode(cause ?? error) === 'EACCES';
      const hint = isCalyxError(error) ? error.hint : undefined;
      damaged.push({ model: name, why: errorMessage(error), hint, denied });
    }
  }
  return { models: models.length, unsigned: ca === undefined ? undefined : unsigned, damaged, storeRuns };
}

/** The model whose blobs have the most bytes. */
export async function largestModel(
  layout: StoreLayout,
  models: readonly ModelName[],
): Promise<{ readonly model: string; readonly bytes: number } | undefined> {
  let largest: { model: string; bytes: number } | undefined;
  for (const model of models) {
    const blobs = await filesIn(layout.blobs(model));
    const bytes = blobs.reduce((sum, file) => sum + (isHidden(file) ? 0 : file.size), 0);
    if (largest === undefined || bytes > largest.bytes) largest = { model: formatModelName(model), bytes };
  }
  return largest;
}
