import { join } from 'node:path';
import type { Digest } from '../core/digest.js';
import { cacheFolder, type ModelName } from '../core/names.js';

/**
 * Where things lie in a store's data directory. What others read is the Hugging Face cache layout
 * (`models--ORG--NAME/{blobs,snapshots,refs}`); what only Calyx needs is under `.calyx`.
 */
export class StoreLayout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Everything that only Calyx needs. */
  get own(): string {
    return join(this.root, '.calyx');
  }

  /** Sockets of the processes that own, or owned, the directory. */
  get owners(): string {
    return join(this.own, 'owners');
  }

  /** The identity of the cluster and its tokens; for the owner's eyes alone. */
  get cluster(): string {
    return join(this.own, 'cluster');
  }

  /** Manifests by digest, for all models. */
  manifest(digest: Digest): string {
    return join(this.manifests, `${digest}.json`);
  }

  /** Which manifest a revision of a model has. */
  revisions(model: ModelName): string {
    return join(this.allRevisions, cacheFolder(model));
  }

  revision(model: ModelName, revision: string): string {
    return join(this.revisions(model), `${revision}.json`);
  }

  /** The revisions of all models. */
  get allRevisions(): string {
    return join(this.own, 'revisions');
  }

  /** Of all models, revisions that were removed whose files are still being removed; a kill leaves them to the next removal. */
  get allRemoving(): string {
    return join(this.own, 'removing');
  }

  removing(model: ModelName): string {
    return join(this.allRemoving, cacheFolder(model));
  }

  /** The pins of a model: names that keep a revision from being removed. */
  pins(model: ModelName): string {
    return join(this.own, 'pins', cacheFolder(model));
  }

  pin(model: ModelName, name: string): string {
    return join(this.pins(model), `${name}.json`);
  }

  /** Where a model was added from. */
  source(model: ModelName): string {
    return join(this.own, 'sources', `${cacheFolder(model)}.json`);
  }

  /** Who read what, as a store last wrote it down. */
  get usage(): string {
    return join(this.own, 'usage.json');
  }

  /** Manifests of all models. */
  get manifests(): string {
    return join(this.own, 'manifests');
  }

  /** The refs of all models; a model exists if it has one. */
  get allRefs(): string {
    return join(this.own, 'refs');
  }

  refs(model: ModelName): string {
    return join(this.allRefs, cacheFolder(model));
  }

  ref(model: ModelName, ref: string): string {
    return join(this.refs(model), `${ref}.json`);
  }

  /** The highest generation of a model that was removed: if it comes back, its refs go on from there. */
  retired(model: ModelName): string {
    return join(this.own, 'retired', `${cacheFolder(model)}.json`);
  }

  /** Where a file is written that then takes its place in the Hugging Face cache layout, which shows no unfinished files. */
  beside(model: ModelName, name: string): string {
    return join(this.own, 'beside', cacheFolder(model), name);
  }

  /** Models that are gathered before they are published. */
  get allStaging(): string {
    return join(this.own, 'staging');
  }

  /** What is known of models that lie in object storage. */
  get origin(): string {
    return join(this.own, 'origin');
  }

  /** Which revisions of a model lie in object storage, and in which objects. */
  originRecords(model: ModelName): string {
    return join(this.origin, cacheFolder(model));
  }

  originRecord(model: ModelName, revision: string): string {
    return join(this.originRecords(model), `${revision}.json`);
  }

  /** How content is kept in this directory; see `readContentLayout`. */
  get contentLayout(): string {
    return join(this.own, 'layout.json');
  }

  /** Files of chunks that models share, and their indexes. */
  get bundles(): string {
    return join(this.own, 'bundles');
  }

  bundle(id: Digest): string {
    return join(this.bundles, `${id}.chunks`);
  }

  bundleIndex(id: Digest): string {
    return join(this.bundles, `${id}.index`);
  }

  /** The disk cache before object storage. */
  get cache(): string {
    return join(this.own, 'cache');
  }

  /** Where a model is gathered before it is published. */
  staging(model: ModelName): string {
    return join(this.allStaging, cacheFolder(model));
  }

  /** Sockets of the processes that add the model or remove it; outside of the staging area, which publishing deletes. */
  adding(model: ModelName): string {
    return join(this.own, 'adding', cacheFolder(model), 'owners');
  }

  /** The model's directory in the Hugging Face cache layout. */
  model(model: ModelName): string {
    return join(this.root, cacheFolder(model));
  }

  blobs(model: ModelName): string {
    return join(this.model(model), 'blobs');
  }

  blob(model: ModelName, blob: Digest): string {
    return join(this.blobs(model), blob);
  }

  snapshots(model: ModelName): string {
    return join(this.model(model), 'snapshots');
  }

  snapshot(model: ModelName, revision: string): string {
    return join(this.snapshots(model), revision);
  }

  /** The ref as other readers of the cache layout see it: a file with the revision id. */
  hubRef(model: ModelName, ref: string): string {
    return join(this.model(model), 'refs', ref);
  }
}
