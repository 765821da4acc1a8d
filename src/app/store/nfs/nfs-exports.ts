import type { Logger } from 'pino';
import type { CatalogReader } from '../../../catalog/catalog-reader.js';
import type { FileTree } from '../../../catalog/file-tree.js';
import { FilteredCatalog } from '../../../catalog/filtered-catalog.js';
import type { RevisionUsage } from '../../../catalog/revision-usage.js';
import { catalogTree } from '../../../catalog/tree/catalog-tree.js';
import { Recent } from '../../../core/recent.js';
import { systemClock } from '../../../core/clock.js';
import { isCalyxError } from '../../../core/errors.js';
import type { ExportStatistics, NfsExports } from '../../../protocols/nfs/exports.js';
import type { RpcPeer } from '../../../protocols/rpc/rpc-program.js';
import type { ByteSource } from '../../../storage/byte-source.js';
import { visibleTo, type AllowRule } from './nfs-access.js';

/** What an export is made of. */
export interface ExportParts {
  /** Should keep its answers for a moment: it is asked for every name and handle. */
  readonly catalog: CatalogReader;
  readonly source: ByteSource;
  readonly usage: RevisionUsage;
  readonly allow: readonly AllowRule[];
  /** Only source ports below 1024, which on the clients only root can use. */
  readonly privilegedPorts: boolean;
  readonly logger: Logger;
}

/** Addresses whose tree is remembered. */
const KEPT_ADDRESSES = 4096;
const FIRST_UNPRIVILEGED_PORT = 1024;

/** Counting reads every manifest, and a client may ask for the figures with each entry of a listing. */
const STATISTICS_FRESH_MS = 2000;

/** What the addresses of one set of rules see. */
interface View {
  readonly catalog: CatalogReader;
  readonly tree: FileTree;
  /** What was counted last, and when that was begun. */
  statistics?: { readonly value: Promise<ExportStatistics>; readonly at: number };
}

/** The export of a catalog: for each address the models that its rules show. */
export function nfsExports(parts: ExportParts): NfsExports {
  const views = new Map<string, View>();
  const byAddress = new Recent<string, { readonly view: View | undefined }>(KEPT_ADDRESSES);
  /** Addresses whose ports were refused, so that each is told of once. */
  const refused = new Recent<string, true>(KEPT_ADDRESSES);
  const makeView = (address: string): View | undefined => {
    const visible = visibleTo(address, parts.allow);
    if (visible === undefined) {
      parts.logger.warn({ address }, 'an address that no --allow names wanted to mount');
      return undefined;
    }
    let view = views.get(visible.key);
    if (view === undefined) {
      const catalog = new FilteredCatalog(parts.catalog, (model) => visible.models(model));
      view = { catalog, tree: catalogTree(catalog) };
      views.set(visible.key, view);
    }
    return view;
  };
  const viewOf = ({ address, port }: RpcPeer): View | undefined => {
    if (parts.privilegedPorts && port >= FIRST_UNPRIVILEGED_PORT) {
      if (refused.get(address) === undefined)
        parts.logger.warn(
          { address, port },
          'a port above 1023 wanted to mount, which --privileged-ports refuses',
        );
      refused.set(address, true);
      return undefined;
    }
    let known = byAddress.get(address);
    if (known === undefined) {
      known = { view: makeView(address) };
      byAddress.set(address, known);
    }
    return known.view;
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
  };
}

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
