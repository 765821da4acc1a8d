import { sha256 } from '../core/digest.js';
import { isCalyxError } from '../core/errors.js';
import { formatModelName, parseModelName, type ModelName } from '../core/names.js';
import { formatSliceSpec, parseSliceSpec, type SliceSpec } from './slice-spec.js';

/** A slice under the name that it has among models, for clients that know nothing but models. */
export interface SliceRepository {
  /** The model of which it is a slice. */
  readonly model: ModelName;
  readonly spec: SliceSpec;
}

// The Hub's clients take no '+' in a name.
const FORM = /^(.+)_blocks_(\d{1,5}-\d{1,5})(_embed)?(_head)?$/;

/** Writes `NAME_blocks_4-8[_embed][_head]`, with the organisation of the model. */
export function sliceRepositoryName({ model, spec }: SliceRepository): ModelName {
  return { org: model.org, name: `${model.name}_blocks_${formatSliceSpec(spec).replaceAll('+', '_')}` };
}

/**
 * Reads `NAME_blocks_4-8[_embed][_head]`.
 *
 * @returns undefined if it is no such name in its one canonical spelling; whether the model has these blocks is not looked at
 */
export function parseSliceRepository({ org, name }: ModelName): SliceRepository | undefined {
  const [, base, range, embed, head] = FORM.exec(name) ?? [];
  if (base === undefined || range === undefined) return undefined;
  const marks = [embed, head].map((mark) => mark?.replace('_', '+') ?? '').join('');
  const spec = parseSliceSpec(`${range}${marks}`, Infinity);
  if (spec === undefined) return undefined;
  try {
    return { model: parseModelName(`${org}/${base}`), spec };
  } catch (error) {
    if (!isCalyxError(error, 'usage')) throw error;
    return undefined;
  }
}

/** What the bytes of a slice depend on beside its model; changes with the form of parts. */
const FORMAT = 'calyx-slice-1';

/** Hex digits of a commit. */
const COMMIT_DIGITS = 40;

/** The commit of a slice: as long as one of git, the same on every replica, another for each revision and each set of parts. */
export function sliceCommit({ model, spec }: SliceRepository, revision: string): string {
  const text = [FORMAT, formatModelName(model), revision, formatSliceSpec(spec)].join('\n');
  return sha256(text).slice(0, COMMIT_DIGITS);
}
