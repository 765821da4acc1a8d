import type { Grant } from './access.js';
import { isCalyxError } from './errors.js';
import { parseModelPattern, type ModelPattern } from './model-pattern.js';
import type { ModelName } from './names.js';
import { Recent } from './recent.js';

/** Patterns that are kept read; a store has at most about as many tokens. */
const KEPT_PATTERNS = 1024;
const patterns = new Recent<string, ModelPattern>(KEPT_PATTERNS);

/** True if a grant shows every model, so that nothing has to be asked of each. */
export function showsAll(grant: Pick<Grant, 'models'>): boolean {
  return grant.models === '*';
}

/** True if a grant shows this model. One whose pattern cannot be read shows none. */
export function showsModel(grant: Pick<Grant, 'models'>, model: ModelName): boolean {
  if (showsAll(grant)) return true;
  let pattern = patterns.get(grant.models);
  if (pattern === undefined) {
    pattern = readPattern(grant.models);
    patterns.set(grant.models, pattern);
  }
  return pattern(model);
}

function readPattern(text: string): ModelPattern {
  try {
    return parseModelPattern(text);
  } catch (error) {
    if (!isCalyxError(error, 'usage')) throw error;
    return () => false;
  }
}
