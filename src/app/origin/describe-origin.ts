import type { Origin } from './open-origin.js';

/** What `/v1/status` tells of the object storage behind a store; not which models there are, which not everybody may know. */
export function describeOrigin({ name, report, meter, cache }: Origin): Readonly<Record<string, unknown>> {
  const count = (state: string): number => report.models.filter((model) => model.state === state).length;
  const preparing = report.models.filter(({ state }) => state === 'preparing');
  const sum = (values: readonly (number | undefined)[]): number =>
    values.reduce<number>((total, value) => total + (value ?? 0), 0);
  return {
    name,
    problem: report.problem ?? null,
    models: { shown: count('shown'), preparing: count('found') + preparing.length, failed: count('failed') },
    preparing: {
      doneBytes: sum(preparing.map(({ doneBytes }) => doneBytes)),
      totalBytes: sum(preparing.map(({ totalBytes }) => totalBytes)),
    },
    bytesRead: meter.bytes,
    readErrors: meter.errors,
    cache: {
      budgetBytes: cache.budgetBytes,
      usedBytes: cache.usedBytes,
      hits: cache.hits,
      joined: cache.joined,
      misses: cache.misses,
      hitBytes: cache.hitBytes,
      servedBytes: cache.servedBytes,
      fetchedBytes: cache.fetchedBytes,
      wrongChunks: cache.wrongChunks,
      troubled: cache.troubled,
    },
  };
}
