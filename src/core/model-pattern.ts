import { CalyxError } from './errors.js';
import { formatModelName, type ModelName } from './names.js';

/** Tells which models are meant. */
export type ModelPattern = (model: ModelName) => boolean;

const PATTERN = /^[A-Za-z0-9._*-]+(?:\/[A-Za-z0-9._*-]+)?$/;

/**
 * Reads a pattern of models: `ORG/NAME`, where `*` stands for any characters but `/`, or `*` alone for all models.
 *
 * @throws CalyxError `usage`
 */
export function parseModelPattern(text: string): ModelPattern {
  if (text === '*') return () => true;
  if (!PATTERN.test(text) || !text.includes('/'))
    throw new CalyxError('usage', `'${text.slice(0, 200)}' is no pattern of models`, {
      hint: "write ORG/NAME; '*' stands for any characters but '/', and alone for all models: 'acme/*', '*/llama-*'",
    });
  const parts = text.split('*').map((part) => part.replaceAll('.', '\\.'));
  const form = new RegExp(`^${parts.join('[^/]*')}$`);
  return (model) => form.test(formatModelName(model));
}
