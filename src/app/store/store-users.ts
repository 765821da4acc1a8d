import type { ContentUsage } from '../../catalog/content-usage.js';
import type { RevisionUsage, RevisionUser } from '../../catalog/revision-usage.js';
import type { NodeRegistry } from '../../cluster/node-registry.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import type { ReadContent } from '../../protocols/http/content-routes.js';

/** The nodes that run blocks of a model. */
export function nodesOf(registry: NodeRegistry, model: ModelName): RevisionUser[] {
  return registry.list(formatModelName(model)).map(({ revision, name, url }) => ({
    revision,
    by: `${name} at ${url}`,
    idleMs: undefined,
    open: 1,
    node: true,
  }));
}

/** Writes down that somebody begins to read over HTTP; what it returns, that it is over. */
export function startReading(
  usage: RevisionUsage,
  contents: ContentUsage,
  what: ReadContent,
  by: string,
): () => void {
  if ('manifest' in what) return contents.reading(what.manifest, by);
  if ('revision' in what) {
    const close = usage.open(what, by);
    usage.read(what, by);
    return () => {
      usage.read(what, by);
      close();
    };
  }
  const blobs = new Set(what.segments.flatMap((segment) => ('blob' in segment ? [segment.blob] : [])));
  const ends = [...blobs].map((blob) => contents.reading(blob, by));
  return () => {
    for (const end of ends) end();
  };
}
