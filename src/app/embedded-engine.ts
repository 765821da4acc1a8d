import { CalyxError } from '../core/errors.js';
import { formatModelName } from '../core/names.js';
import type { Revision } from '../catalog/slice.js';

/**
 * Throws unless the weights have a form that the embedded engine runs.
 *
 * @throws CalyxError `unsupported` naming what runs them
 */
export function checkRunnable({ model, manifest }: Pick<Revision, 'model' | 'manifest'>): void {
  if (manifest.gguf === undefined) return;
  const name = formatModelName(model);
  const file = `models/${name}/${manifest.gguf.path}`;
  throw new CalyxError('unsupported', `${name} is a GGUF model; the embedded engine runs safetensors only`, {
    hint: `run it with llama.cpp: ${file} on a mount of the store, or the store's /tree/${file}; or publish the safetensors form of the model`,
  });
}
