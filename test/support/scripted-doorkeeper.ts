import { X509Certificate } from 'node:crypto';
import type { Grant } from '../../src/core/access.js';
import type { Decision, Doorkeeper, Presented } from '../../src/core/doorkeeper.js';
import { CalyxError } from '../../src/core/errors.js';

/** Knows certificates by their common names, and remembers what it was told. */
export class ScriptedDoorkeeper implements Doorkeeper {
  readonly decisions: Decision[] = [];
  readonly #grants: Map<string, Grant>;
  readonly #listeners = new Set<(tokenId: string) => void>();

  /** @param models what each name may see; the name is the id of the token too */
  constructor(models: Readonly<Record<string, string>>) {
    this.#grants = new Map();
    for (const [name, pattern] of Object.entries(models)) this.knows(name, pattern);
  }

  /** From now on it knows one more. */
  knows(name: string, models: string): void {
    this.#grants.set(name, { tokenId: name, name, role: 'read', models });
  }

  whoIs({ certificate }: Presented): Grant {
    const name = certificate && new X509Certificate(certificate).subject.replace(/^CN=/, '');
    const grant = this.#grants.get(name ?? '');
    if (grant === undefined) throw new CalyxError('unauthenticated', 'it is not known who that is');
    return grant;
  }

  decided(decision: Decision): void {
    this.decisions.push(decision);
  }

  onRevoked(listener: (tokenId: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  revoke(name: string): void {
    this.#grants.delete(name);
    for (const listener of this.#listeners) listener(name);
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}
