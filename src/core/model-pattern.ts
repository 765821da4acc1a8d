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
  return (model) => matches(text, formatModelName(model));
}

/**
 * True if `name` has the form of `pattern`. Goes back only to the last `*`, so that no pattern, however many it has, takes more than the product of
 * the two lengths: patterns come from others.
 */
function matches(pattern: string, name: string): boolean {
  let at = 0;
  let star = -1;
  let starAt = 0;
  for (let index = 0; index < name.length;) {
    if (pattern[at] === '*') {
      star = at;
      starAt = index;
      at += 1;
    } else if (pattern[at] === name[index]) {
      at += 1;
      index += 1;
    } else if (star >= 0 && name[starAt] !== '/') {
      // The last star stands for one character more.
      starAt += 1;
      index = starAt;
      at = star + 1;
    } else return false;
  }
  while (pattern[at] === '*') at += 1;
  return at === pattern.length;
}
