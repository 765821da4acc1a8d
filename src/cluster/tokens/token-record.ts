import { z } from 'zod';
import { ROLES, type Grant } from '../../core/access.js';
import { isCalyxError } from '../../core/errors.js';
import { parseModelPattern } from '../../core/model-pattern.js';
import { printableLine } from '../../core/printable.js';

/** What a store knows of a token, for those who manage: neither the secret nor its hash. Times are milliseconds since 1970. */
export interface TokenRecord {
  /** 12 hex digits. */
  readonly id: string;
  readonly name: string;
  readonly role: Grant['role'];
  /** A pattern of models (core/model-pattern.ts). */
  readonly models: string;
  readonly createdAt: number;
  /** Undefined if it is good until it is revoked. */
  readonly expiresAt?: number | undefined;
  readonly revokedAt?: number | undefined;
  /**
   * The id of the token with which it was made from another machine, or with which that one was made, and so on to the first; undefined if
   * it was made on the store.
   */
  readonly under?: string | undefined;
}

/** What it keeps: also SHA-256 of the secret as it is written, hex. The secret has 256 random bits, so nobody can guess it from that. */
export interface StoredToken extends TokenRecord {
  readonly sha256: string;
}

const MAX_NAME = 100;
const MAX_PATTERN = 300;

/** A token never lives longer than this; one without expiry is good until it is revoked. */
export const MAX_TOKEN_LIFETIME_MS = 10 * 365 * 86_400_000;

/** A name of a token: 1 to 100 characters that a terminal can print on a line. */
export const tokenNameSchema = z
  .string()
  .min(1)
  .max(MAX_NAME)
  .refine(
    (text) => text.isWellFormed() && printableLine(text) === text,
    'it has characters that are not for printing',
  )
  .refine((text) => text.trim() === text, 'it begins or ends with a space');

export const roleSchema = z.enum(ROLES);

export const modelsSchema = z
  .string()
  .max(MAX_PATTERN)
  .superRefine((text, context) => {
    try {
      parseModelPattern(text);
    } catch (error) {
      if (!isCalyxError(error)) throw error;
      context.addIssue({ code: 'custom', message: `${error.message}; ${error.hint ?? ''}` });
    }
  });

const time = z.number().int().nonnegative();

/** Of what is told of the tokens. */
export const versionSchema = z.int().nonnegative();

export const tokenIdSchema = z.string().regex(/^[0-9a-f]{12}$/);

/** A statement of which it is still to be seen who signed it. */
export const signedStatementSchema = z.strictObject({
  statement: z.string(),
  signature: z.string().max(200),
});

/** All tokens of a table. */
export const storedTokensSchema = z
  .array(
    z.strictObject({
      id: tokenIdSchema,
      name: tokenNameSchema,
      role: roleSchema,
      models: modelsSchema,
      createdAt: time,
      expiresAt: time.optional(),
      revokedAt: time.optional(),
      under: tokenIdSchema.optional(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  )
  .refine((tokens) => new Set(tokens.map(({ id }) => id)).size === tokens.length, 'an id appears twice');

/** The form of tokens.json. */
export const tokenFileSchema = z.strictObject({
  version: z.literal(1),
  told: versionSchema.default(0),
  denied: signedStatementSchema.optional(),
  tokens: storedTokensSchema,
});

/** What may be told of a token. */
export function publicRecord({
  id,
  name,
  role,
  models,
  createdAt,
  expiresAt,
  revokedAt,
  under,
}: StoredToken): TokenRecord {
  return { id, name, role, models, createdAt, expiresAt, revokedAt, under };
}

/** What its holder may do. */
export function grantOf({ id, name, role, models }: TokenRecord): Grant & { readonly tokenId: string } {
  return { tokenId: id, name, role, models };
}

/** From when on it is good for nothing; Infinity if that is not known. */
export function endOf({ expiresAt, revokedAt }: TokenRecord): number {
  return Math.min(expiresAt ?? Infinity, revokedAt ?? Infinity);
}
