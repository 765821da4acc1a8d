import { z } from 'zod';
import { CalyxError, fileError } from '../core/errors.js';
import { writeFileAtomically } from '../storage/files/durable.js';
import { readRecord } from './catalog-reader.js';
import type { StoreLayout } from './store-layout.js';

/**
 * How a data directory keeps the content of models: `files`, plain ones in the Hugging Face cache layout, or `chunks`, in bundles, where equal
 * tensors of revisions and models are kept once.
 */
export type ContentLayout = 'files' | 'chunks';

const schema = z.strictObject({ content: z.enum(['files', 'chunks']) });

/** Throws CalyxError `corrupt`, `unreadable`. */
export async function readContentLayout(layout: StoreLayout): Promise<ContentLayout> {
  return (await readRecord(layout.contentLayout, schema))?.content ?? 'files';
}

/** Makes the directory one of chunks. Only its owner may call it. */
export async function writeContentLayout(layout: StoreLayout, content: ContentLayout): Promise<void> {
  await writeFileAtomically(layout.contentLayout, `${JSON.stringify({ content })}\n`).catch(
    (error: unknown) => {
      throw fileError(error, 'cannot write', layout.contentLayout);
    },
  );
}

/** Throws CalyxError `usage` for a layout to which a directory cannot be brought. */
export function checkContentLayout(layout: StoreLayout, now: ContentLayout, wanted: ContentLayout): void {
  if (now === wanted || wanted === 'chunks') return;
  throw new CalyxError('usage', `${layout.root} keeps chunks, and cannot be turned back into plain files`, {
    hint: "start without '--layout files', or fill another data directory from this store: calyx add http://HOST:PORT/ORG/NAME --data DIRECTORY",
  });
}
