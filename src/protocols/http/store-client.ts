import { z } from 'zod';
import type { StoreAccess } from '../../core/access.js';
import { isDigest, sha256 } from '../../core/digest.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { formatModelName, isRevisionId, type ModelName, type ModelSpec } from '../../core/names.js';
import type { ResolvedRevision } from '../../catalog/catalog-reader.js';
import { isProvenByManifest, revisionStatement } from '../../core/ref-statement.js';
import { verifyRef } from '../../core/verify-ref.js';
import { decodeManifest, MAX_MANIFEST_BYTES } from '../../catalog/manifest-codec.js';
import { JsonClient, type JsonClientOptions } from './json-client.js';

const resolvedSchema = z.object({
  model: z.string(),
  revision: z.string().refine(isRevisionId),
  manifest: z.string().refine(isDigest),
  generation: z.int().nonnegative(),
  /** Of the statement that the ref is this, or that the revision has this manifest (see ref-statement.ts). */
  signature: z.string().max(200).optional(),
});

const nodesSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.string().max(100),
      name: z.string().max(200),
      url: z.url({ protocol: /^https?$/ }),
      revision: z.string().refine(isRevisionId),
      blocks: z.object({ start: z.number().int().nonnegative(), end: z.number().int().positive() }),
      embed: z.boolean(),
      head: z.boolean(),
    }),
  ),
});

/** A store lists at most some thousand nodes of about 1 KiB each. */
const MAX_NODE_LIST_BYTES = 16 * 1024 * 1024;

/** A node as a store knows it. */
export type NodeOffer = z.infer<typeof nodesSchema>['nodes'][number];

/** What a name led to, with the size of the manifest that came over the network. */
export interface RemoteRevision extends ResolvedRevision {
  readonly manifestBytes: number;
}

/** What a name led to, without the manifest. */
export type IdentifiedRevision = Omit<ResolvedRevision, 'manifest'>;

/** Asks one or several stores of the same cluster which models exist, and fetches manifests. */
export class StoreClient {
  readonly clients: readonly JsonClient[];
  readonly #ca: string | undefined;

  constructor({ urls, credential }: StoreAccess, options: Omit<JsonClientOptions, 'credential'> = {}) {
    this.#ca = credential?.ca;
    this.clients = urls.map((url) => new JsonClient(url, { ...options, credential }));
  }

  /**
   * Finds out what a ref or revision names. All stores are asked; the highest generation wins, so that a store that lags
   * behind cannot bring an old revision back. With a credential, only what the cluster has signed is believed of a ref.
   *
   * @throws CalyxError `not-found`, or `unavailable` if no store answers
   */
  async identify({ model, revision }: ModelSpec, signal?: AbortSignal): Promise<IdentifiedRevision> {
    const path = `/v1/models/${formatModelName(model)}/revisions/${revision}`;
    const answers = await Promise.allSettled(
      this.clients.map(async (client) =>
        checkAnswer(
          client,
          this.#parse(client, resolvedSchema, await client.json(path, { signal })),
          model,
          revision,
          this.#ca,
        ),
      ),
    );
    signal?.throwIfAborted();
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    const [best] = found.sort((a, b) => b.generation - a.generation);
    if (best === undefined) {
      throw worst(
        answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : [])),
      );
    }
    return { model, revision: best.revision, manifestDigest: best.manifest };
  }

  /** As {@link StoreClient.identify}, with the manifest, verified. */
  async resolve(spec: ModelSpec, signal?: AbortSignal): Promise<RemoteRevision> {
    const identified = await this.identify(spec, signal);
    const digest = identified.manifestDigest;
    const bytes = await this.first(async (client) => {
      const content = await client.bytes(`/v1/manifests/${digest}`, { maxBytes: MAX_MANIFEST_BYTES, signal });
      if (sha256(content) === digest) return content;
      throw new CalyxError('corrupt', `${client.url} sent a manifest that does not match its SHA-256`);
    }, signal);
    return { ...identified, manifest: decodeManifest(bytes), manifestBytes: bytes.byteLength };
  }

  /** Asks the stores in turn until one answers. */
  async first<T>(ask: (client: JsonClient) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const failures: unknown[] = [];
    for (const client of this.clients) {
      try {
        return await ask(client);
      } catch (error) {
        signal?.throwIfAborted();
        failures.push(error);
      }
    }
    throw worst(failures);
  }

  /** The nodes of a model that the stores know, each once. */
  async nodes(model: ModelName, signal?: AbortSignal): Promise<NodeOffer[]> {
    const path = `/v1/nodes?model=${encodeURIComponent(formatModelName(model))}`;
    const answers = await Promise.allSettled(
      this.clients.map(
        async (client) =>
          this.#parse(client, nodesSchema, await client.json(path, { signal, maxBytes: MAX_NODE_LIST_BYTES }))
            .nodes,
      ),
    );
    signal?.throwIfAborted();
    const nodes = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const failures = answers.flatMap((answer) =>
      answer.status === 'rejected' ? [answer.reason as unknown] : [],
    );
    if (failures.length === this.clients.length) throw worst(failures);
    return [...new Map(nodes.map((node) => [node.id, node])).values()];
  }

  #parse<T>(client: JsonClient, schema: z.ZodType<T>, answer: unknown): T {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw new CalyxError('unavailable', `${client.url} does not answer as a Calyx store does`, {
      hint: 'check the address; the store may run another version',
      cause: parsed.error,
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.close()));
  }
}

/**
 * A store may say what `main` is, but not what a revision id means: that follows from the content, or, for the id of a commit elsewhere, from
 * what the cluster has signed. Only a store of no cluster is believed without.
 */
function checkAnswer(
  client: JsonClient,
  answer: z.infer<typeof resolvedSchema>,
  model: ModelName,
  revision: string,
  ca: string | undefined,
): z.infer<typeof resolvedSchema> {
  const pinned = !isRevisionId(revision) || answer.revision === revision;
  const sameModel = answer.model === formatModelName(model);
  if (pinned && sameModel) {
    const proven = isRevisionId(revision) && isProvenByManifest(answer.revision, answer.manifest);
    if (ca !== undefined && !proven) checkSignature(client, answer, revision, ca);
    return answer;
  }
  throw new CalyxError(
    'corrupt',
    `${client.url} was asked for ${formatModelName(model)}@${revision} and answered with something else`,
    { hint: 'do not trust this store; ask another one' },
  );
}

/** @throws CalyxError `corrupt` unless the cluster has signed what a store says of a ref */
function checkSignature(
  { url }: JsonClient,
  { model, revision, manifest, generation, signature }: z.infer<typeof resolvedSchema>,
  ref: string,
  ca: string,
): void {
  const statement = isRevisionId(ref)
    ? revisionStatement(model, revision, manifest)
    : { model, ref, revision, manifest, generation };
  if (signature !== undefined && verifyRef(statement, signature, ca)) return;
  const problem = signature === undefined ? 'is not signed' : 'has a wrong signature';
  throw new CalyxError('corrupt', `what ${url} says of ${model}@${ref} ${problem}`, {
    hint: 'a store signs what it shows when it starts or publishes; ask another store, or find out who changed this one',
  });
}

/** What to tell if all failed: that something does not exist only if every store that answered said so. */
function worst(failures: readonly unknown[]): unknown {
  const first = failures.find((error) => !isCalyxError(error, 'unavailable', 'timeout')) ?? failures[0];
  if (failures.length < 2) return first;
  const hint = isCalyxError(first) ? first.hint : undefined;
  return new CalyxError(
    isCalyxError(first) ? first.code : 'unavailable',
    failures.map(errorMessage).join('; '),
    {
      ...(hint === undefined ? {} : { hint }),
      cause: first,
    },
  );
}
