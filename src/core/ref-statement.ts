/** What a ref says, for one model. */
export interface RefStatement {
  /** `ORG/NAME`. */
  readonly model: string;
  readonly ref: string;
  readonly revision: string;
  /** Digest of the manifest. */
  readonly manifest: string;
  readonly generation: number;
}

/**
 * What the cluster says of a revision whose id does not follow from its manifest, as a commit of the Hub: it is said as of a ref that has the
 * id for its name and the generation 0. No ref has such a name, and none such a generation.
 */
export function revisionStatement(model: string, revision: string, manifest: string): RefStatement {
  return { model, ref: revision, revision, manifest, generation: 0 };
}

/** True if the id of a revision is that of its manifest: its first 40 hex digits, which proves it. */
export function isProvenByManifest(revision: string, manifest: string): boolean {
  return manifest.startsWith(revision);
}

/**
 * The bytes that the key of the cluster signs (ECDSA P-256 with SHA-256, DER): a line each, so that no field can be taken for another.
 * None of them can hold a line break.
 */
export function refStatementBytes({ model, ref, revision, manifest, generation }: RefStatement): Buffer {
  const lines = ['calyx ref 1', model, ref, revision, manifest, String(generation)];
  return Buffer.from(`${lines.join('\n')}\n`);
}
