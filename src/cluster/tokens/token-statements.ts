import { z } from 'zod';
import { CalyxError } from '../../core/errors.js';
import { verifyStatement, type SignedStatement, type StatementKind } from '../../core/signed-statement.js';
import { storedTokensSchema, tokenIdSchema, versionSchema } from './token-record.js';
import type { TokenTable } from './token-table.js';

/** What a store says of its tokens to others. */
export interface TokenStatements {
  /** All of them, with the hashes of their secrets: for other stores alone. */
  tokens(): SignedStatement;
  /** The ids of those that are denied. */
  denied(): SignedStatement;
}

const tokensSchema = z.object({ version: versionSchema, tokens: storedTokensSchema });
const deniedSchema = z.object({ version: versionSchema, denied: z.array(tokenIdSchema) });

/** Which tokens there are, as of a version: the higher one counts. */
export type TokensStatement = z.infer<typeof tokensSchema>;
/** Which of them are denied, as of a version. */
export type DeniedStatement = z.infer<typeof deniedSchema>;

/**
 * What the writer says, signed. What is said under a version does not change: it is made once, for all who ask.
 *
 * @param sign by the key of the cluster
 */
export function signedStatements(
  table: TokenTable,
  sign: (kind: StatementKind, statement: string) => SignedStatement,
): TokenStatements {
  const once = (kind: StatementKind, say: () => object): (() => SignedStatement) => {
    let said: { readonly version: number; readonly signed: SignedStatement } | undefined;
    return () => {
      const { version } = table;
      if (said?.version !== version)
        said = { version, signed: sign(kind, JSON.stringify({ version, ...say() })) };
      return said.signed;
    };
  };
  return {
    tokens: once('tokens', () => ({ tokens: table.stored() })),
    denied: once('denied', () => ({ denied: table.denied() })),
  };
}

/**
 * Reads which tokens there are.
 *
 * @param ca the certificate of the cluster
 * @param from who says so, for messages
 * @throws CalyxError `corrupt` if the cluster has not signed it, `unavailable` if this version of Calyx does not know its form
 */
export function readTokens(signed: SignedStatement, ca: string, from: string): TokensStatement {
  return read('tokens', tokensSchema, signed, ca, from);
}

/** Reads which tokens are denied; as {@link readTokens}. */
export function readDenied(signed: SignedStatement, ca: string, from: string): DeniedStatement {
  return read('denied', deniedSchema, signed, ca, from);
}

function read<T>(
  kind: StatementKind,
  schema: z.ZodType<T>,
  signed: SignedStatement,
  ca: string,
  from: string,
): T {
  // Before it is looked at: it is as long as a store likes.
  if (!verifyStatement(kind, signed, ca))
    throw new CalyxError('corrupt', `what ${from} says of the tokens was not signed by the cluster`, {
      hint: 'do not trust this store: look who runs it, and revoke its token',
    });
  try {
    return schema.parse(JSON.parse(signed.statement));
  } catch {
    // Not the parser's message, which may quote hashes.
    throw new CalyxError('unavailable', `what ${from} says of the tokens has a form that is not known here`, {
      hint: 'the stores run different versions: put the same on all of them, the one with the key of the cluster first',
    });
  }
}
