import { z } from 'zod';
import { fromWireError } from '../../../core/wire-error.js';
import { isLoopback } from '../../../protocols/http/guard.js';
import type { AddressFacts, Standing } from './address-facts.js';
import { askOnce, type Answered, type Question } from './ask-once.js';
import { lookAtCertificate, reach, StageFailure, type KnownBy } from './handshake.js';

/** Where a store is said to be, and how it is known. */
export interface Target {
  readonly url: URL;
  /** Undefined if no cluster was joined. */
  readonly knownBy: KnownBy | undefined;
  /** A secret. */
  readonly token: string | undefined;
}

const standingSchema: z.ZodType<Standing> = z.object({
  name: z.string().max(200),
  role: z.string().max(40),
  models: z.string().max(1000),
  token: z.string().max(40).nullable(),
  expiresAt: z.number().nullable().optional(),
});
const statusSchema = z.object({ version: z.string().max(40) });

/**
 * Goes to an address step by step, and tells how far that led: a name, a connection, a handshake, the certificate, what the store says of
 * the token, and its version. The token is sent only to a server that has proven to be of the cluster, or on this machine. Never throws.
 */
export async function probeAddress(target: Target, signal: AbortSignal): Promise<AddressFacts> {
  const { url } = target;
  let facts: AddressFacts = { server: url.origin };
  const add = (more: Partial<AddressFacts>): void => {
    facts = { ...facts, ...more };
  };
  try {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const secured = url.protocol === 'https:';
    const at = { host, port: Number(url.port || (secured ? 443 : 80)) };
    await reach(at, signal);
    if (secured) await throughTls(target, at, add, signal);
    else await inTheOpen(target, host, add, signal);
  } catch (error) {
    if (!(error instanceof StageFailure)) throw error;
    add({ failure: { kind: error.kind, detail: error.message } });
  }
  return facts;
}

type Add = (more: Partial<AddressFacts>) => void;

async function throughTls(
  { url, knownBy, token }: Target,
  at: { readonly host: string; readonly port: number },
  add: Add,
  signal: AbortSignal,
): Promise<void> {
  if (knownBy === undefined) throw new StageFailure('not-joined', 'no cluster was joined');
  const { leaf, ca: authority, invalid } = await lookAtCertificate(at, knownBy, signal);
  const ca = authority.toString();
  add({
    certificate: {
      of: `the store at ${url.host}`,
      notBefore: Date.parse(leaf.validFrom),
      notAfter: Date.parse(leaf.validTo),
    },
  });
  if (invalid !== undefined) {
    if (invalid !== 'not-a-store') {
      const { offsetMs } = await askOnce({ url, path: '/healthz', ca, anyDate: true }, signal);
      add({ offsetMs });
    }
    throw new StageFailure(invalid, `its certificate is good until ${leaf.validTo}`);
  }
  await standing({ url, ca, token }, add, signal);
}

async function inTheOpen({ url, token }: Target, host: string, add: Add, signal: AbortSignal): Promise<void> {
  const local = isLoopback(host);
  if (!local && token !== undefined)
    throw new StageFailure('plain', 'a token is not sent over plain HTTP to another machine');
  try {
    await standing({ url, token }, add, signal);
  } catch (error) {
    // A server that expects TLS ends the connection without a word.
    if (error instanceof StageFailure && error.kind === 'cut-off')
      throw new StageFailure('wants-tls', error.message);
    throw error;
  }
}

async function standing(question: Omit<Question, 'path'>, add: Add, signal: AbortSignal): Promise<void> {
  const who = await askOnce({ ...question, path: '/v1/whoami' }, signal);
  add({ offsetMs: who.offsetMs });
  if (who.status !== 200) {
    const { code, message } = fromWireError(who.status, who.body, question.url.origin);
    add({ refusal: { code, message: message.slice(0, 300) } });
    return;
  }
  const parsed = standingSchema.safeParse(who.body);
  if (!parsed.success) throw new StageFailure('no-answer', 'it does not answer as a Calyx store does');
  add({ standing: parsed.data });
  const status: Answered = await askOnce({ ...question, path: '/v1/status' }, signal);
  add({ version: statusSchema.safeParse(status.body).data?.version ?? null });
}
