import type { Grant } from '../../src/core/access.js';
import type { Decision, Doorkeeper, Presented } from '../../src/core/doorkeeper.js';
import { CalyxError } from '../../src/core/errors.js';

/** Knows the tokens that it is given by their text, and one certificate. */
export class FakeDoorkeeper implements Doorkeeper {
  readonly grants = new Map<string, Grant>();
  readonly decisions: Decision[] = [];
  readonly presented: Presented[] = [];
  /** What a certificate gives. */
  ofCertificate: Grant | undefined;
  readonly #listeners = new Set<(tokenId: string) => void>();

  whoIs(presented: Presented): Grant {
    this.presented.push(presented);
    const { token, certificate } = presented;
    if (token === 'flood') throw new CalyxError('limited', 'too many wrong tokens');
    const grant = token === undefined ? certificate && this.ofCertificate : this.grants.get(token);
    if (grant !== undefined) return grant;
    throw new CalyxError(
      'unauthenticated',
      token === undefined ? 'no token was sent' : 'the token is not valid',
    );
  }

  decided(decision: Decision): void {
    this.decisions.push(decision);
  }

  onRevoked(listener: (tokenId: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  revoke(token: string): void {
    const grant = this.grants.get(token);
    this.grants.delete(token);
    for (const listener of this.#listeners) listener(grant?.tokenId ?? '');
  }
}

/** A grant whose id and name are the token's text. */
export function grantOf(token: string, role: Grant['role'], models = '*'): Grant {
  return { tokenId: token, name: token, role, models };
}
