import { open } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { clusterTls, type TlsTrust } from '../../storage/http/server-trust.js';
import { isLoopback } from '../../storage/remote/http-walker.js';
import { storeAccess } from '../join/store-access.js';

/** Where models are if nothing else is said. */
export const HUB = 'https://huggingface.co';

/** More than any token has. */
const MAX_TOKEN_BYTES = 4096;

/** How a server that speaks the Hub's API is asked. */
export interface HubAccess {
  readonly token?: string;
  readonly tls?: TlsTrust;
  /** Why a token that is there is not sent, as a sentence. */
  readonly notice?: string;
}

/** `HF_ENDPOINT`, else the Hub; throws CalyxError `usage` if that is no address. */
export function hubEndpoint(env: NodeJS.ProcessEnv = process.env): URL {
  const text = env['HF_ENDPOINT'] || HUB;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === '' && url.search === '')
    return url;
  throw new CalyxError('usage', `HF_ENDPOINT is no address of a Hub: '${text.slice(0, 200)}'`, {
    hint: `write it as ${HUB}`,
  });
}

/**
 * What is told to a server, and by what it is known. The Hub's token goes to `HF_ENDPOINT` (or the Hub) alone; a store of the cluster that
 * was joined is known by its certificate and gets that cluster's token; any other server is told nothing. No token goes over plain HTTP to
 * another machine.
 *
 * @throws CalyxError as {@link storeAccess} does; `unreadable` for the file of the Hub's token
 */
export async function hubAccess(url: URL, env: NodeJS.ProcessEnv = process.env): Promise<HubAccess> {
  if (url.origin === hubEndpoint(env).origin) {
    const token = await hubToken(env);
    if (token === undefined || url.protocol === 'https:' || isLoopback(url))
      return token === undefined ? {} : { token };
    return { notice: `the token is not sent to ${url.origin}: it would be for everyone on the way to read` };
  }
  if (url.protocol !== 'https:') return {};
  const { urls, credential } = await storeAccess(undefined, env);
  if (credential === undefined || !urls.some(({ origin }) => origin === url.origin)) return {};
  return { token: credential.token, tls: clusterTls(credential.ca) };
}

/** The token of the Hub, found as huggingface_hub finds it: `HF_TOKEN`, else the file that `hf auth login` writes. */
async function hubToken(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const set = (env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'])?.trim();
  if (set) return checkToken(set, 'HF_TOKEN');
  if (/^(?:1|ON|YES|TRUE)$/i.test(env['HF_HUB_DISABLE_IMPLICIT_TOKEN'] ?? '')) return undefined;
  const caches = env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const path = env['HF_TOKEN_PATH'] || join(env['HF_HOME'] || join(caches, 'huggingface'), 'token');
  try {
    const file = await open(path, 'r');
    try {
      const buffer = Buffer.alloc(MAX_TOKEN_BYTES);
      const { bytesRead } = await file.read(buffer, 0, MAX_TOKEN_BYTES, 0);
      const token = buffer.toString('utf8', 0, bytesRead).trim();
      return token === '' ? undefined : checkToken(token, path);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw fileError(error, 'cannot read', path);
  }
}

function checkToken(token: string, where: string): string {
  if (token.length < MAX_TOKEN_BYTES && /^[\x21-\x7e]+$/.test(token)) return token;
  // Not the text itself: it may be a secret with a line break in it.
  throw new CalyxError('usage', `what is in ${where} is not a token`, {
    hint: 'set it again, without blanks or quotes',
  });
}
