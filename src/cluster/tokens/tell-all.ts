/** Tells all listeners of all ids, also if one of them throws: that is a fault of ours, which shows when the others have been told. */
export function tellAll(listeners: Iterable<(id: string) => void>, ids: readonly string[]): void {
  const all = [...listeners];
  for (const id of ids)
    for (const listener of all) {
      try {
        listener(id);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
}
