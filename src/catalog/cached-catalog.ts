import { systemClock, type Clock } from '../core/clock.js';
import { formatModelName, type ModelName, type ModelSpec } from '../core/names.js';
import type { CatalogReader, Ref, ResolvedRevision } from './catalog-reader.js';
import { Recent } from '../core/recent.js';

/** Options of {@link CachedCatalog}. */
export interface CachedCatalogOptions {
  /** For how long an answer counts. @default 500 */
  readonly freshMs?: number;
  /** @default the machine's */
  readonly clock?: Clock;
}

const DEFAULTS = { freshMs: 500, clock: systemClock } as const;

/** Answers kept: about that many models or revisions can be in use at the same moment without being read again. */
const KEPT_ANSWERS = 4096;
/** Files and tensors of the revisions kept, for their manifests are in memory; the one used last is kept, whatever it has. */
const KEPT_ITEMS = 100_000;

interface Answer<T> {
  readonly value: Promise<T>;
  readonly at: number;
}

/**
 * A layer over a catalog that asks it for the same thing at most once in a moment: protocols such as NFS ask for every name and
 * every handle. What the process itself changes must be told by {@link invalidate}; what others change shows after `freshMs`.
 */
export class CachedCatalog implements CatalogReader {
  readonly #inner: CatalogReader;
  readonly #freshMs: number;
  readonly #clock: Clock;
  readonly #lists = new Recent<string, Answer<unknown>>(KEPT_ANSWERS);
  readonly #revisions = new Recent<string, Answer<unknown>>(KEPT_ITEMS);

  constructor(inner: CatalogReader, options: CachedCatalogOptions = {}) {
    this.#inner = inner;
    this.#freshMs = options.freshMs ?? DEFAULTS.freshMs;
    this.#clock = options.clock ?? DEFAULTS.clock;
  }

  models(): Promise<ModelName[]> {
    return this.#once(this.#lists, 'models', () => this.#inner.models());
  }

  refs(model: ModelName): Promise<Map<string, Ref>> {
    const name = formatModelName(model);
    return this.#once(this.#lists, `refs ${name}`, async () => {
      const refs = await this.#inner.refs(model);
      // Who has seen a ref move must not be led to what it named before: under the new version of the directory a client would
      // keep the old entries. Only now, because what was asked for meanwhile may have met the old ref.
      this.#revisions.deleteWhere((key) => key.startsWith(`${name}@`));
      return refs;
    });
  }

  revisions(model: ModelName): Promise<string[]> {
    return this.#once(this.#lists, `revisions ${formatModelName(model)}`, () => this.#inner.revisions(model));
  }

  resolve(spec: ModelSpec): Promise<ResolvedRevision> {
    const key = `${formatModelName(spec.model)}@${spec.revision}`;
    return this.#once(
      this.#revisions,
      key,
      () => this.#inner.resolve(spec),
      ({ manifest: { files } }) => files.reduce((sum, { tensors }) => sum + 1 + tensors.length, 0),
    );
  }

  /** Forgets every answer: the catalog has changed. */
  invalidate(): void {
    this.#lists.clear();
    this.#revisions.clear();
  }

  #once<T>(
    answers: Recent<string, Answer<unknown>>,
    key: string,
    ask: () => Promise<T>,
    weigh: (value: T) => number = () => 1,
  ): Promise<T> {
    const kept = answers.get(key);
    const now = this.#clock.now();
    if (kept !== undefined && now - kept.at < this.#freshMs) return kept.value as Promise<T>;
    const value = ask();
    const answer = { value, at: now };
    answers.set(key, answer);
    value.then(
      (known) => {
        if (answers.get(key) === answer) answers.set(key, answer, weigh(known));
      },
      () => {
        // A failure is not kept: the next question asks again.
        if (answers.get(key) === answer) answers.delete(key);
      },
    );
    return value;
  }
}
