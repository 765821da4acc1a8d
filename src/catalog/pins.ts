import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { wallClock } from '../core/clock.js';
import { CalyxError, fileError } from '../core/errors.js';
import { formatModelName, isRevisionId, parseRevision, type ModelName } from '../core/names.js';
import { syncDirectory, writeFileAtomically } from '../storage/files/durable.js';
import { listNames, readRecord } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

/** What keeps a revision from being removed. */
export interface Pin {
  readonly revision: string;
  /** Milliseconds since 1970. */
  readonly pinnedAt: number;
}

const pinSchema = z.strictObject({ revision: z.string().refine(isRevisionId), pinnedAt: z.number() });

/** The pins of a model by their names. Throws CalyxError `corrupt` if one is damaged: what it keeps is then not known. */
export async function readPins(layout: StoreLayout, model: ModelName): Promise<Map<string, Pin>> {
  const pins = new Map<string, Pin>();
  for (const name of await pinNames(layout, model)) {
    const pin = await readRecord(layout.pin(model, name), pinSchema);
    if (pin !== undefined) pins.set(name, pin);
  }
  return pins;
}

/** The names of a model's pins, whether they can be read or not. */
export async function pinNames(layout: StoreLayout, model: ModelName): Promise<string[]> {
  const files = await listNames(layout.pins(model));
  return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
}

/**
 * Pins a revision, which the caller has found to be there. Only the owner of the data directory may call it.
 *
 * @param name of the pin; the revision's id if none is given
 * @returns false if that was so before
 * @throws CalyxError `exists` if the name is that of a pin of another revision, `usage` for a name that cannot be
 */
export async function pinRevision(
  layout: StoreLayout,
  model: ModelName,
  revision: string,
  name: string = revision,
): Promise<boolean> {
  parseRevision(name);
  if (isRevisionId(name) && name !== revision)
    throw new CalyxError('usage', `a pin of ${revision} cannot be called as another revision is: ${name}`);
  const known = (await readPins(layout, model)).get(name);
  if (known?.revision === revision) return false;
  if (known !== undefined) {
    throw new CalyxError(
      'exists',
      `the pin '${name}' of ${formatModelName(model)} keeps the revision ${known.revision}`,
      { hint: `choose another name, or take it away first: calyx unpin ${formatModelName(model)} ${name}` },
    );
  }
  const path = layout.pin(model, name);
  await writeFileAtomically(path, `${JSON.stringify({ revision, pinnedAt: wallClock.now() })}\n`).catch(
    (error: unknown) => {
      throw fileError(error, 'cannot write', path);
    },
  );
  return true;
}

/** Takes pins away, by their names. Only the owner of the data directory may call it. */
export async function removePins(
  layout: StoreLayout,
  model: ModelName,
  names: readonly string[],
): Promise<void> {
  if (names.length === 0) return;
  try {
    for (const name of names) await rm(layout.pin(model, name), { force: true });
    await syncDirectory(layout.pins(model));
  } catch (error) {
    throw fileError(error, 'cannot remove', layout.pins(model));
  }
}
