import { addModel, type Added, type AddOptions } from './add-model.js';
import { addRemote } from './add-remote.js';
import { describeSource, type AddSource } from './add-source.js';
import { openRemote } from './open-remote.js';

/** Options of {@link addFrom}: those of {@link addModel} but what the source tells. */
export type AddFromOptions = Omit<AddOptions, 'directory' | 'snapshot'>;

/**
 * Publishes a model from wherever it lies, and remembers where that was.
 *
 * @throws CalyxError as {@link addModel}, {@link openRemote} and {@link addRemote} do
 */
export async function addFrom(source: AddSource, options: AddFromOptions): Promise<Added> {
  if (source.kind === 'directory') return addModel({ ...options, ...source });
  const remote = await openRemote(source, options.signal, options.onNotice);
  try {
    return await addRemote({ ...options, remote, source: describeSource(source) });
  } finally {
    await remote.close();
  }
}
