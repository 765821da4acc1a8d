import { refuseSliceName } from '../../catalog/ingest/stage-model.js';
import { formatModelName, parseFilePath, parseModelName, type ModelName } from '../../core/names.js';
import type { StoredObject } from '../../storage/object-bucket.js';
import type { RemoteFile } from '../../storage/remote/remote-model.js';

/** A model below a prefix of a bucket, as the listing tells it. */
export interface FoundModel {
  readonly model: ModelName;
  /** Ascending by path, without those whose names begin with '.', as of a directory. */
  readonly files: readonly RemoteFile[];
}

/** Where what is known of a model is kept beside it, relative to the model. */
export const BESIDE = { manifest: '.calyx/manifest.json', record: '.calyx/origin.json' } as const;

/** `ORG/NAME/...` with weights is a model; what else lies in the bucket is passed over. */
export function findModels(objects: readonly StoredObject[]): FoundModel[] {
  const models = new Map<string, { model: ModelName; files: RemoteFile[] }>();
  for (const { key, size, version } of objects) {
    const [org, name, ...rest] = key.split('/');
    if (org === undefined || name === undefined || rest.length === 0) continue;
    if (rest.some((segment) => segment.startsWith('.'))) continue;
    const path = rest.join('/');
    try {
      const model = parseModelName(`${org}/${name}`);
      refuseSliceName(model);
      parseFilePath(path);
      const known = models.get(formatModelName(model)) ?? { model, files: [] };
      known.files.push({ path, size, version });
      models.set(formatModelName(model), known);
    } catch {
      // A name that no model or file can have.
    }
  }
  const found = [...models.values()].filter(({ files }) => files.some(({ path }) => isWeights(path)));
  for (const { files } of found) files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return found;
}

function isWeights(path: string): boolean {
  return !path.includes('/') && /\.(?:safetensors|gguf)$/.test(path);
}
