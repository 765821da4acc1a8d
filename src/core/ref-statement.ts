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
 * The bytes that the key of the cluster signs (ECDSA P-256 with SHA-256, DER): a line each, so that no field can be taken for another.
 * None of them can hold a line break.
 */
export function refStatementBytes({ model, ref, revision, manifest, generation }: RefStatement): Buffer {
  const lines = ['calyx ref 1', model, ref, revision, manifest, String(generation)];
  return Buffer.from(`${lines.join('\n')}\n`);
}
