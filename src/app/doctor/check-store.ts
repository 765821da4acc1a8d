import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { parseTokenFile } from '../../cluster/tokens/token-file.js';
import { publicRecord } from '../../cluster/tokens/token-record.js';
import { errorMessage, isCalyxError } from '../../core/errors.js';
import { CALYX_VERSION } from '../version.js';
import { checkAuditLog } from './checks/audit-log.js';
import { checkListeners } from './checks/listeners.js';
import { checkPrivateFiles } from './checks/private-files.js';
import { checkRunningStore } from './checks/running-store.js';
import { checkStoreDisk } from './checks/store-disk.js';
import { checkStoreIdentity } from './checks/store-identity.js';
import { checkStoreRefs } from './checks/store-refs.js';
import { checkStoreTokens } from './checks/store-tokens.js';
import { Checkup } from './checkup.js';
import { diskFacts } from './facts/disk-facts.js';
import { fileFacts, filesIn, isHidden } from './facts/file-facts.js';
import { readSmall } from './facts/read-small.js';
import { auditFacts, identityFacts, largestModel, refsFacts, runningFacts } from './facts/store-facts.js';
import { note, problem, unseen, type Finding, type Verdict } from './finding.js';

/** Several times what the largest table of tokens takes. */
const MAX_TOKENS_BYTES = 32 * 1024 * 1024;

/** Looks at the data directory of a store, and asks the store that runs on it. Changes nothing. */
export async function checkStore(root: string, signal: AbortSignal): Promise<Finding[]> {
  const layout = new StoreLayout(root);
  const catalog = new DiskCatalog(layout);
  const identity = identityFacts(layout);
  const running = runningFacts(layout, signal);
  const checks = new Checkup('store', signal);
  checks.add('files', () => files(layout));
  checks.add('identity', async () => checkStoreIdentity((await identity).facts, Date.now()));
  checks.add('running', async () => checkRunningStore(await running, root, CALYX_VERSION, Date.now()));
  checks.add('listeners', async () => {
    const facts = await running;
    return facts.kind === 'runs' ? checkListeners(facts.description, ownAddresses()) : [];
  });
  checks.add('tokens', () => tokens(layout));
  checks.add('audit log', async () => checkAuditLog(await auditFacts(layout)));
  checks.add('disk', async () => {
    const [disk, largest, ...directories] = await Promise.all([
      diskFacts(root),
      catalog.models().then((models) => largestModel(layout, models)),
      fileFacts(root),
      fileFacts(layout.own),
    ]);
    return checkStoreDisk({ root, disk, largest, directories: directories.filter((each) => each !== undefined) });
  }); // prettier-ignore
  checks.add('refs', async () => {
    const [{ ca }, { kind }] = await Promise.all([identity, running]);
    return checkStoreRefs(await refsFacts(catalog, ca, kind !== 'none'));
  });
  return checks.findings();
}

/** What there is to say of a directory where no store is. */
export function noStore(root: string): Finding {
  const verdict = problem(
    `${root} is not the data directory of a store`,
    'check --data; calyx store makes one',
  );
  return { area: 'store', check: 'files', ...verdict };
}

async function files(layout: StoreLayout): Promise<Verdict[]> {
  const [directory, own] = await Promise.all([fileFacts(layout.cluster), fileFacts(layout.own)]);
  if (directory === undefined) return [note(`no store has run on ${layout.root} yet`)];
  return checkPrivateFiles({
    directory,
    files: isHidden(directory) ? [] : await filesIn(layout.cluster),
    what: 'the identity of the cluster, its tokens and its log',
    owners: own === undefined || isHidden(own) ? undefined : [own.uid],
    ifRead: 'if somebody may have read or changed it, stop the store, put .calyx/cluster aside, and let everybody join anew',
  });
} // prettier-ignore

async function tokens(layout: StoreLayout): Promise<Verdict[]> {
  const path = join(layout.cluster, 'tokens.json');
  const read = await readSmall(path, MAX_TOKENS_BYTES);
  if (read === undefined) return [];
  if ('why' in read) return [unseen(path, read.why, 'run calyx doctor as the user whom the store runs as')];
  try {
    return checkStoreTokens(parseTokenFile(path, read.text).tokens.map(publicRecord), Date.now());
  } catch (error) {
    return [problem(errorMessage(error), (isCalyxError(error) && error.hint) || 'restore it from a backup')];
  }
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
