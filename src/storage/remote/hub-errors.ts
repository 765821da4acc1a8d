import { CalyxError } from '../../core/errors.js';
import type { Walked } from './http-walker.js';

/** What was asked of the Hub, for its errors. */
export interface HubQuestion {
  /** Where it is, without a path. */
  readonly endpoint: URL;
  /** `ORG/NAME`. */
  readonly repo: string;
  /** The branch, tag or commit that was asked for. */
  readonly revision: string;
  /** Whether a token was sent. */
  readonly token: boolean;
  /** The file, if it was one. */
  readonly file?: string;
}

/** Waiting longer than that is not waiting any more. */
const MAX_RETRY_SECONDS = 3_600;

/**
 * What a status of the Hub stands for, with the way out. The header X-Error-Code tells what the status alone does not: the Hub
 * answers 401 to a stranger for what does not exist.
 */
export function hubError(
  { status, headers }: Pick<Walked, 'status' | 'headers'>,
  asked: HubQuestion,
): CalyxError {
  const { endpoint, repo, revision, token, file } = asked;
  const code = text(headers['x-error-code']);
  const said = text(headers['x-error-message']);
  const page = `${endpoint.origin}/${repo}`;
  const withToken = 'set HF_TOKEN to a token that may read it (Hub: Settings, Access Tokens)';
  if (code === 'GatedRepo')
    return new CalyxError(
      'refused',
      `${repo} is gated: ${said || 'its conditions have to be accepted first'}`,
      {
        hint: `open ${page}, accept the conditions with your account, then ${token ? 'run this again (approval may take a while)' : withToken}`,
      },
    );
  if (code === 'RevisionNotFound')
    return new CalyxError('not-found', `${repo} has no revision '${revision}' at ${endpoint.origin}`, {
      hint: `give a branch, a tag or a commit: ${page} shows them`,
    });
  if (code === 'EntryNotFound')
    return new CalyxError(
      'changed',
      `${endpoint.origin} lists ${file ?? 'a file'} of ${repo}, but does not have it`,
      {
        hint: 'run this again; nothing was published',
      },
    );
  if (status === 401 && code !== 'RepoNotFound' && (token || said.startsWith('Invalid credentials')))
    return new CalyxError(
      'unauthenticated',
      `${endpoint.origin} does not accept the token${said ? `: ${said}` : ''}`,
      {
        hint: 'make a new one (Hub: Settings, Access Tokens) and set HF_TOKEN to it, or unset HF_TOKEN for a public model',
      },
    );
  if (code === 'RepoNotFound' || status === 401 || status === 404)
    return new CalyxError(
      'not-found',
      `${endpoint.origin} has no model ${repo}${file === undefined ? '' : ` with ${file}`}, or does not show it${token ? ' to this token' : ' without a token'}`,
      {
        hint: `check the name; for a private model ${withToken}`,
      },
    );
  if (status === 403)
    return new CalyxError('refused', `${endpoint.origin} refuses ${repo}: ${said || 'status 403'}`, {
      hint: token ? `the token may not read it: ${page} tells who may` : withToken,
    });
  const seconds = retryAfter(text(headers['retry-after']));
  const patience = seconds === undefined ? {} : { retryAfterSeconds: seconds };
  if (status === 429)
    return new CalyxError('limited', `${endpoint.origin} asks for patience: too many requests`, {
      ...patience,
      hint: `run this again later: it goes on where it stopped${token ? '' : '; with a token (HF_TOKEN) the limits are higher'}`,
    });
  if (status === 416) return changedAtSource(asked);
  if (status === 408 || status >= 500)
    return new CalyxError(
      'unavailable',
      `${endpoint.origin} answered ${status}${said ? `: ${said}` : ''}`,
      patience,
    );
  return new CalyxError(
    'refused',
    `${endpoint.origin} answered ${status}${said ? `: ${said}` : ''} for ${repo}`,
    {
      hint: 'check the address: is it the Hub, a mirror of it, or a Calyx store?',
    },
  );
}

/** The error for a file that is no longer what was listed. */
export function changedAtSource({ endpoint, repo, file }: HubQuestion): CalyxError {
  return new CalyxError(
    'changed',
    `${file ?? 'a file'} of ${repo} has changed at ${endpoint.origin}; nothing was published`,
    {
      hint: 'run this again, which lists the model anew',
    },
  );
}

/** Seconds or a date (RFC 9110, section 10.2.3); undefined for anything else. */
export function retryAfter(value: string): number | undefined {
  const trimmed = value.trim();
  const seconds = /^\d{1,9}$/.test(trimmed) ? Number(trimmed) : (Date.parse(trimmed) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(Math.ceil(seconds), 0), MAX_RETRY_SECONDS) : undefined;
}

function text(value: string | string[] | undefined): string {
  return (Array.isArray(value) ? (value[0] ?? '') : (value ?? '')).slice(0, 300);
}
