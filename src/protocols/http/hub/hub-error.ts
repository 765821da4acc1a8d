import type { FastifyReply, FastifyRequest } from 'fastify';
import { CalyxError, isCalyxError } from '../../../core/errors.js';
import type { WireAnswer } from '../../../core/wire-error.js';
import { setRefusalHeaders } from '../admission.js';

/** How the Hub says what is missing: by this its clients choose the class of their errors. */
export type HubErrorCode = 'RepoNotFound' | 'RevisionNotFound' | 'EntryNotFound';

/** Something that a client of the Hub asked for is not there. */
export class HubError extends CalyxError {
  readonly hubCode: HubErrorCode;
  /** Of the repository that was looked into: clients keep by it what does not exist. */
  readonly commit: string | undefined;

  constructor(
    hubCode: HubErrorCode,
    message: string,
    options: { readonly hint?: string | undefined; readonly commit?: string; readonly cause?: unknown } = {},
  ) {
    const { hint, commit, cause } = options;
    super('not-found', message, { ...(hint !== undefined && { hint }), cause });
    this.hubCode = hubCode;
    this.commit = commit;
  }
}

/** What the Hub says of a wrong token; its clients take any other 401 for a repository that may be private. */
const WRONG_TOKEN = 'Invalid credentials in Authorization header';

/** Longer messages are cut in the header; the body has all of it. */
const MAX_HEADER = 500;

/** Answers with an error in the Hub's form: headers that tell its clients what it is, and text under `error`. */
export function replyHubError(
  error: unknown,
  { status, body }: WireAnswer,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { code, message, hint } = body.error;
  setRefusalHeaders(reply, error);
  const text = hint === undefined ? message : `${message}; ${hint}`;
  const wrongToken = status === 401 && request.headers.authorization !== undefined;
  void reply.header('x-error-message', wrongToken ? WRONG_TOKEN : headerText(text));
  if (error instanceof HubError) {
    void reply.header('x-error-code', error.hubCode);
    if (error.commit !== undefined) void reply.header('x-repo-commit', error.commit);
  }
  return reply.status(status).send({ error: text, code });
}

/** Runs what looks a model up; what is not there becomes `hubCode`. */
export async function orNotFound<T>(hubCode: HubErrorCode, look: () => Promise<T> | T): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!isCalyxError(error, 'not-found', 'usage') || error instanceof HubError) throw error;
    throw new HubError(hubCode, error.message, { hint: error.hint, cause: error });
  }
}

/** Fields of headers are printable ASCII (RFC 9110, section 5.5). */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, '?').slice(0, MAX_HEADER);
}
