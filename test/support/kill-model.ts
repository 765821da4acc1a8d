import { cachedModel, type CachedModel } from './cached-model.js';

/** What processes that are killed read, and through how much of a cache. */
export const killModel = (): CachedModel => cachedModel(12_000_000, 300_000, 9);
export const KILL_BUDGET_BYTES = 4_000_000;
export const KILL_SEGMENT_BYTES = 350_000;
