import { formatModelName, type ModelName } from '../core/names.js';
import { isProvenByManifest, revisionStatement, type RefStatement } from '../core/ref-statement.js';
import { verifyRef } from '../core/verify-ref.js';
import { writeFileAtomically } from '../storage/files/durable.js';
import { readRecord, revisionSchema, type CatalogReader, type Ref } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

/** Signs what a ref says with the key of the cluster; base64url. */
export type SignRef = (statement: RefStatement) => string | Promise<string>;

/** Whose signature a ref should have: what this needs of the identity of a cluster. */
export interface RefSigner {
  /** The certificate of the cluster, PEM. */
  readonly ca: string;
  signRef(statement: RefStatement): string;
}

/**
 * Signs all refs that have no signature, or not one of this cluster: those that were published while no store ran, or before the
 * store had this identity. So it does with revisions whose ids do not prove themselves. They say the same as before. Only the owner of the data directory may call it, before it serves them.
 *
 * @param onDamaged told of each model whose refs cannot be read or written; the others are signed nevertheless
 * @returns how many were signed
 */
export async function signRefs(
  layout: StoreLayout,
  catalog: CatalogReader,
  signer: RefSigner,
  onDamaged: (model: ModelName, error: unknown) => void = () => undefined,
): Promise<number> {
  let count = 0;
  for (const model of await catalog.models()) {
    try {
      for (const [name, ref] of await catalog.refs(model)) {
        if (verifyRef(statementOf(model, name, ref), ref.signature ?? '', signer.ca)) continue;
        const record = await signed(model, name, ref, (statement) => signer.signRef(statement));
        await writeFileAtomically(layout.ref(model, name), `${JSON.stringify(record)}\n`);
        count += 1;
      }
      for (const revision of await catalog.revisions(model)) {
        const record = await readRecord(layout.revision(model, revision), revisionSchema);
        if (record === undefined || isProvenByManifest(revision, record.manifest)) continue;
        const statement = revisionStatement(formatModelName(model), revision, record.manifest);
        if (verifyRef(statement, record.signature ?? '', signer.ca)) continue;
        const { manifest } = record;
        const renewed = { manifest, signature: signer.signRef(statement) };
        await writeFileAtomically(layout.revision(model, revision), `${JSON.stringify(renewed)}\n`);
        count += 1;
      }
    } catch (error) {
      onDamaged(model, error);
    }
  }
  return count;
}

/**
 * Looks at the signatures of all refs: of a store that cannot sign any.
 *
 * @param ca the certificate of the cluster, PEM
 * @param onWrong told of each ref, and each revision that does not prove itself, that clients of the cluster will refuse
 * @param onDamaged told of each model whose refs cannot be read
 */
export async function checkRefs(
  layout: StoreLayout,
  catalog: CatalogReader,
  ca: string,
  onWrong: (model: ModelName, ref: string, problem: 'is not signed' | 'has a wrong signature') => void,
  onDamaged: (model: ModelName, error: unknown) => void,
): Promise<void> {
  for (const model of await catalog.models()) {
    try {
      for (const [name, ref] of await catalog.refs(model)) {
        if (ref.signature === undefined) onWrong(model, name, 'is not signed');
        else if (!verifyRef(statementOf(model, name, ref), ref.signature, ca))
          onWrong(model, name, 'has a wrong signature');
      }
      for (const revision of await catalog.revisions(model)) {
        const record = await readRecord(layout.revision(model, revision), revisionSchema);
        if (record === undefined || isProvenByManifest(revision, record.manifest)) continue;
        const { manifest, signature } = record;
        const statement = revisionStatement(formatModelName(model), revision, manifest);
        if (signature === undefined) onWrong(model, revision, 'is not signed');
        else if (!verifyRef(statement, signature, ca)) onWrong(model, revision, 'has a wrong signature');
      }
    } catch (error) {
      onDamaged(model, error);
    }
  }
}

/** A ref with its signature. */
export async function signed(model: ModelName, name: string, ref: Ref, sign: SignRef): Promise<Ref> {
  return { ...ref, signature: await sign(statementOf(model, name, ref)) };
}

/** What the signature of a ref is about. */
export function statementOf(
  model: ModelName,
  ref: string,
  { revision, manifest, generation }: Ref,
): RefStatement {
  return { model: formatModelName(model), ref, revision, manifest, generation };
}
