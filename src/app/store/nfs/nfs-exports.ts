import type { Logger } from 'pino';
import type { CatalogReader } from '../../../catalog/catalog-reader.js';
import type { FileTree } from '../../../catalog/file-tree.js';
import { FilteredCatalog } from '../../../catalog/filtered-catalog.js';
import type { RevisionUsage } from '../../../catalog/revision-usage.js';
import { catalogTree } from '../../../catalog/tree/catalog-tree.js';
import { Recent } from '../../../core/recent.js';
import { systemClock } from '../../../core/clock.js';
import { isCalyxError } from '../../../core/errors.js';
import type { ModelName } from '../../../core/names.js';
import type { ExportStatistics, NfsExports } from '../../../protocols/nfs/exports.js';
import type { RpcPeer } from '../../../protocols/rpc/rpc-program.js';
import type { ByteSource } from '../../../storage/byte-source.js';
import { ClientPolicy, type ClientRules, type Refusal } from './client-policy.js';

/** What an export is made of. */
export interface ExportParts extends ClientRules {
  /** Should keep its answers for a moment: it is asked for every name and handle. */
  readonly catalog: CatalogReader;
  readonly source: ByteSource;
  readonly usage: RevisionUsage;
  readonly logger: Logger;
}

/** Exports, and what the server that offers them must tell. */
export interface GuardedExports extends NfsExports {
  /** A client asked for more than NULL for the first time, or was turned away for the first time. */
  onEntry(peer: RpcPeer, allowed: boolean): void;
  /** The token by whose grant a connection sees what it sees. */
  tokenOf(peer: RpcPeer): string | undefined;
}

/** Addresses of which the log has told that they were refused. */
const KEPT_ADDRESSES = 4096;

/** Counting reads every manifest, and a client may ask for the figures with each entry of a listing. */
const STATISTICS_FRESH_MS = 2000;

/** What those see who may see the same. */
interface View {
  readonly catalog: CatalogReader;
  readonly tree: FileTree;
  /** What was counted last, and when that was begun. */
  statistics?: { readonly value: Promise<ExportStatistics>; readonly at: number };
}

/** The export of a catalog: for each client the models that its address and its certificate show. */
export function nfsExports(parts: ExportParts): GuardedExports {
  const policy = new ClientPolicy(parts);
  const views = new Map<string, View>();
  const newView = (shown: (model: ModelName) => boolean): View => {
    const catalog = new FilteredCatalog(parts.catalog, shown);
    return { catalog, tree: catalogTree(catalog) };
  };
  // Its outermost directories have the handles that those of all views have, and there is nothing in them.
  const outside = newView(() => false);
  const viewOf = (peer: RpcPeer): View | undefined => {
    const access = policy.accessOf(peer);
    if (access.kind !== 'models') return access.kind === 'outside' ? outside : undefined;
    const { visible } = access;
    let view = views.get(visible.key);
    if (view === undefined) {
      view = newView((model) => visible.models(model));
      views.set(visible.key, view);
    }
    return view;
  };
  return {
    source: parts.source,
    treeFor: (peer) => viewOf(peer)?.tree,
    usage: {
      read: (file, peer) => parts.usage.read(file, peer.address),
      open: (file, peer) => parts.usage.open(file, peer.address),
    },
    statistics: async (peer) => {
      const view = viewOf(peer);
      return view === undefined ? { bytes: 0, files: 0 } : recentStatistics(view);
    },
    onError: (what, peer, error) => {
      if (!isCalyxError(error, 'aborted'))
        parts.logger.error({ err: error, what, client: peer.address }, 'an NFS client got an error');
    },
    onEntry: entryReport(parts, policy),
    tokenOf: (peer) => policy.tokenOf(peer),
  };
}

/** Tells the log, once for each address, and the audit who was let in and who was not. */
function entryReport({ logger, doorkeeper }: ExportParts, policy: ClientPolicy): GuardedExports['onEntry'] {
  const told = new Recent<string, true>(KEPT_ADDRESSES);
  return (peer, allowed) => {
    const { address, port } = peer;
    const access = policy.accessOf(peer);
    const entry = { door: 'nfs', action: 'connect', address, allowed } as const;
    if (allowed) {
      // Whoever has yet to begin TLS was not let in so far.
      if (access.kind === 'models') doorkeeper?.decided({ ...entry, grant: access.grant });
      return;
    }
    const { reason, message } = access.kind === 'refused' ? access.refusal : NO_TLS;
    const grant = access.kind === 'refused' ? access.grant : undefined;
    doorkeeper?.decided({ ...entry, grant, reason });
    const key = `${address} ${message}`;
    if (told.get(key) === undefined) logger.warn({ address, port }, `a client was refused: it ${message}`);
    told.set(key, true);
  };
}

const NO_TLS: Refusal = { reason: 'unauthenticated', message: 'wanted NFS without TLS, which is required' };

function recentStatistics(view: View): Promise<ExportStatistics> {
  const now = systemClock.now();
  const kept = view.statistics;
  if (kept !== undefined && now - kept.at < STATISTICS_FRESH_MS) return kept.value;
  const counted = { value: statisticsOf(view.catalog), at: now };
  view.statistics = counted;
  counted.value.catch(() => {
    if (view.statistics === counted) delete view.statistics;
  });
  return counted.value;
}

/** All that a catalog shows, equal files of a model once. */
async function statisticsOf(catalog: CatalogReader): Promise<ExportStatistics> {
  let bytes = 0;
  let files = 0;
  for (const model of await catalog.models()) {
    const sizes = new Map<string, number>();
    for (const revision of await catalog.revisions(model)) {
      const found = await catalog.resolve({ model, revision }).catch(ifGone);
      for (const file of found?.manifest.files ?? []) sizes.set(file.blob, file.size);
    }
    files += sizes.size;
    for (const size of sizes.values()) bytes += size;
  }
  return { bytes, files };
}

/** A revision that was just removed, or is damaged, does not count. */
function ifGone(error: unknown): undefined {
  if (!isCalyxError(error, 'not-found', 'corrupt')) throw error;
}
