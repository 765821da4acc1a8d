import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import { download, planDownload, type DownloadPlan } from '../../catalog/ingest/download.js';
import { HashPool, type OnBytes } from '../../catalog/ingest/hash-pool.js';
import type { FilePatterns } from '../../catalog/ingest/path-pattern.js';
import { otherFormats, selectFiles } from '../../catalog/ingest/select-files.js';
import { readSource, refuseSliceName, stageManifest, stageModel } from '../../catalog/ingest/stage-model.js';
import type { Manifest } from '../../catalog/manifest.js';
import { otherFiles } from '../../catalog/publish.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { DEFAULT_REF, type ModelName } from '../../core/names.js';
import { formatSize, plural } from '../../core/units.js';
import type { RemoteFile, RemoteModel } from '../../storage/remote/remote-model.js';
import { INDEX_FILE, parseIndex } from '../../weights/model-directory.js';
import { commandManager } from '../store/manage.js';
import { lockModel } from '../store/model-lock.js';
import { refuseReplica } from '../store/replica/replica-file.js';
import type { Added } from './add-model.js';

/** Options of {@link addRemote}. */
export interface AddRemoteOptions {
  readonly dataDirectory: string;
  readonly remote: RemoteModel;
  readonly model: ModelName;
  readonly patterns?: FilePatterns;
  readonly signal: AbortSignal;
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: OnBytes;
  readonly onNotice?: (text: string) => void;
}

/** What {@link planRemote} found. */
export interface RemotePlan extends DownloadPlan {
  readonly files: readonly RemoteFile[];
  /** True if the store has this very revision already. */
  readonly isPublished: boolean;
}

/**
 * Publishes a model that lies elsewhere into a store's data directory, whether a store runs on it or not. What the store has already is not
 * moved again; nothing at all if it has this revision.
 *
 * @throws CalyxError; nothing is published then, and the next call goes on from there
 */
export async function addRemote(options: AddRemoteOptions): Promise<Added> {
  const { model, remote, signal, onNotice } = options;
  const { layout, files, known } = await lookAt(options);
  const lock = await lockModel(layout, model, 'calyx add');
  const pool = new HashPool({ signal });
  try {
    let fetchedBytes = 0;
    let staged = remote.revision;
    if (known !== undefined) {
      const current = (await new DiskCatalog(layout).refs(model)).get(DEFAULT_REF);
      if (current !== undefined && current.revision === remote.revision)
        return { ...summary(known.manifest), ...current, changed: false, importedBytes: 0, fetchedBytes };
      const bytes = await new DiskCatalog(layout).manifestBytes(known.manifestDigest);
      await stageManifest(layout, model, bytes, remote.revision);
    } else {
      sayWhatElse(files, onNotice);
      const directory = await download(layout, {
        ...options,
        files,
        pool,
        onBytes: (bytes) => {
          fetchedBytes += bytes;
          options.onBytes?.(bytes);
        },
        onDescribed: (path) => checkShards(path, files, remote.name),
      });
      const source = await readSource(directory, model);
      const { revision } = remote;
      ({ revision: staged } = await stageModel(layout, {
        directory,
        source,
        model,
        revision,
        mode: 'link',
        pool,
        signal,
      }));
    }
    signal.throwIfAborted();
    const { ref, moved } = await commandManager(layout, signal).publish(model, staged);
    const { manifest } = await new DiskCatalog(layout).resolve({ model, revision: ref.revision });
    const { revision, generation } = ref;
    return {
      ...summary(manifest),
      revision,
      generation,
      changed: moved,
      importedBytes: fetchedBytes,
      fetchedBytes,
    };
  } finally {
    await pool.close();
    await lock.release();
  }
}

/** What {@link addRemote} would move; changes nothing. */
export async function planRemote(options: AddRemoteOptions): Promise<RemotePlan> {
  const { layout, files, known } = await lookAt(options);
  if (known !== undefined)
    return {
      files,
      isPublished: true,
      published: new Map(),
      missingBytes: new Map(files.map((file) => [file, 0])),
    };
  return { files, isPublished: false, ...(await planDownload(layout, { ...options, files })) };
}

async function lookAt(options: AddRemoteOptions): Promise<{
  readonly layout: StoreLayout;
  readonly files: readonly RemoteFile[];
  /** The revision, if it is published. */
  readonly known: { readonly manifest: Manifest; readonly manifestDigest: string } | undefined;
}> {
  const { model, remote, patterns } = options;
  const layout = new StoreLayout(resolve(options.dataDirectory));
  await refuseReplica(layout);
  refuseSliceName(model);
  const files = selectFiles(remote, patterns);
  checkWeights(files, remote.name);
  const known =
    remote.revision === undefined
      ? undefined
      : await new DiskCatalog(layout)
          .resolve({ model, revision: remote.revision })
          .catch((error: unknown) => {
            // What is damaged is fetched again.
            if (!isCalyxError(error, 'not-found', 'corrupt')) throw error;
            return undefined;
          });
  if (known !== undefined && !hasFiles(known.manifest, files)) throw otherFiles(model, known.revision);
  return { layout, files, known };
}

/** True if a manifest is of these very files, as far as the listing tells. */
function hasFiles(manifest: Manifest, files: readonly RemoteFile[]): boolean {
  return (
    manifest.files.length === files.length &&
    files.every(({ path, size, sha256 }) => {
      const file = manifest.file(path);
      return file?.size === size && (sha256 === undefined || file.blob === sha256);
    })
  );
}

/** @throws CalyxError `unsupported` if there are no weights that could be published, before anything is moved */
function checkWeights(files: readonly RemoteFile[], name: string): void {
  if (files.some(({ path }) => /\.(?:safetensors|gguf)$/.test(path))) return;
  if (files.some(({ path }) => /\.(?:bin|pt|pth)$/.test(path)))
    throw new CalyxError(
      'unsupported',
      `${name} has its weights only as PyTorch pickles (.bin), which cannot be cut into blocks`,
      {
        hint: 'look for a revision with safetensors (refs/pr/N), or convert it once: transformers loads it and save_pretrained writes safetensors',
      },
    );
  throw new CalyxError('not-found', `${name} has no weights among the files that are taken`, {
    hint: 'check --include and --exclude; Calyx takes safetensors',
  });
}

/** @throws CalyxError `invalid-model` if a shard that the index names is not taken; its weights need not be moved to know that */
async function checkShards(directory: string, files: readonly RemoteFile[], name: string): Promise<void> {
  if (!files.some(({ path }) => path === INDEX_FILE)) return;
  const path = join(directory, INDEX_FILE);
  const index = parseIndex(await readFile(path, 'utf8'), `${INDEX_FILE} of ${name}`);
  const taken = new Set(files.map((file) => file.path));
  const missing = [...new Set(index.values())].filter((shard) => !taken.has(shard));
  if (missing.length === 0) return;
  throw new CalyxError(
    'invalid-model',
    `${name} is not complete: ${plural(missing.length, 'shard')} that its index names ${missing.length === 1 ? 'is' : 'are'} not among the files, as ${missing[0]}`,
    { hint: 'check --include and --exclude: a model is published whole' },
  );
}

function sayWhatElse(files: readonly RemoteFile[], onNotice: AddRemoteOptions['onNotice']): void {
  const others = otherFormats(files);
  if (others.length === 0) return;
  const bytes = others.reduce((sum, { size }) => sum + size, 0);
  onNotice?.(
    `${formatSize(bytes)} are weights for other programs, as ${others[0]?.path ?? ''}; --exclude leaves them out, e.g. --exclude '*${/\.[^.]*$/.exec(others[0]?.path ?? '')?.[0] ?? ''}'`,
  );
}

function summary(manifest: Manifest): Pick<Added, 'files' | 'bytes' | 'blocks'> {
  return { files: manifest.files.length, bytes: manifest.totalBytes, blocks: manifest.blockCount };
}
