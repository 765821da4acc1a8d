import type { ClientFacts, LinkFacts, StoreFacts } from './client-facts.js';
import type { Measurements } from './measurement.js';

/** All that an advice is made of. */
export interface AdviceInput {
  readonly client: ClientFacts;
  readonly link: LinkFacts;
  readonly store: StoreFacts;
  readonly measurements: Measurements;
  /** The store as the user called it. */
  readonly host: string;
  readonly port: number;
  /** Directory of the store that is mounted. */
  readonly path: string;
  readonly mountPoint: string;
}
