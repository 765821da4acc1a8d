import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { CalyxError, errorMessage, isCalyxError } from '../core/errors.js';
import type { RenderJob, RenderReply } from './chat-template-worker.js';
import { DeadlineError, withDeadline } from './deadline.js';
import { parseTokenizerConfig } from './special-tokens.js';
import type { TextFile } from './text-file.js';

/** A turn of a conversation. */
export interface ChatMessage {
  /** `system`, `user` or `assistant`. */
  readonly role: string;
  readonly content: string;
}

/** A model's way to write a conversation as text, and the tokens which it may refer to. */
export interface ChatTemplate {
  /** The file that it came from, for errors. */
  readonly file: string;
  readonly source: string;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
}

/** Settings of {@link renderChat}. */
export interface RenderOptions {
  /** @default 2_000 */
  readonly timeoutMs?: number;
  /** @default 4_194_304 */
  readonly maxOutputChars?: number;
  readonly signal?: AbortSignal;
}

const DEFAULTS = { timeoutMs: 2_000, maxOutputChars: 4 * 1024 * 1024 };
/** Starting a thread takes some 50 ms; on an overloaded machine much more, which is not the template's fault. */
const START_TIMEOUT_MS = 30_000;
const MAX_TEMPLATE_CHARS = 1024 * 1024;
/** Memory of a template's process; an honest one needs a few megabytes. */
const MAX_HEAP_MIB = 128;
const RAW_HINT = 'use --raw to send the prompt without a chat template';

/**
 * Finds the chat template: chat_template.jinja if there is one, else `chat_template` of tokenizer_config.json, a string or a
 * list of `{name, template}` of which `default` is taken.
 *
 * @throws CalyxError `unsupported` if the model has none; `invalid-model` naming the file if it is no template
 */
export function readChatTemplate(files: {
  readonly template?: TextFile | undefined;
  readonly tokenizerConfig?: TextFile | undefined;
}): ChatTemplate {
  const config = parseTokenizerConfig(files.tokenizerConfig);
  const file = (files.template ?? files.tokenizerConfig)?.name ?? 'tokenizer_config.json';
  const source = files.template?.text ?? namedTemplate(config.json['chat_template'], file);
  if (source === undefined)
    throw new CalyxError('unsupported', 'the model has no chat template', { hint: RAW_HINT });
  if (source.length > MAX_TEMPLATE_CHARS)
    throw new CalyxError('invalid-model', `${file}: the chat template has ${source.length} characters`, {
      hint: RAW_HINT,
    });
  return { file, source, bosToken: config.bosToken, eosToken: config.eosToken };
}

function namedTemplate(value: unknown, file: string): string | undefined {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined;
  const entries: unknown[] = Array.isArray(value) ? value : [];
  for (const entry of entries) {
    const { name, template } = (entry ?? {}) as Record<string, unknown>;
    if (name === 'default' && typeof template === 'string') return template;
  }
  throw new CalyxError(
    'invalid-model',
    `${file}: chat_template is neither a template nor a list with a 'default'`,
    {
      hint: RAW_HINT,
    },
  );
}

/**
 * Writes a conversation as the model expects it, ending where the assistant is to answer. Templates are programs of
 * strangers: this one runs in a process of its own with bounded time, memory and output, and is killed when it exceeds them.
 *
 * @throws CalyxError `timeout` if it takes too long, `invalid-model` if it fails; both suggest `--raw`
 */
export async function renderChat(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: RenderOptions = {},
): Promise<string> {
  const { timeoutMs, maxOutputChars } = { ...DEFAULTS, ...options };
  const job: RenderJob = {
    source: template.source,
    variables: {
      messages: messages.map(({ role, content }) => ({ role, content })),
      add_generation_prompt: true,
      ...(template.bosToken === undefined ? {} : { bos_token: template.bosToken }),
      ...(template.eosToken === undefined ? {} : { eos_token: template.eosToken }),
    },
    maxOutputChars,
  };
  const child = fork(fileURLToPath(new URL('./chat-template-process.js', import.meta.url)), [], {
    execArgv: [`--max-old-space-size=${MAX_HEAP_MIB}`],
    env: {},
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  // One that comes when nobody waits any more must not end our own process.
  child.on('error', () => undefined);
  try {
    await withDeadline(START_TIMEOUT_MS, options.signal, (signal) => nextReply(child, signal));
    const reply = await withDeadline(timeoutMs, options.signal, (signal) => {
      const answer = nextReply(child, signal);
      child.send(job);
      return answer;
    });
    if (reply.kind === 'rendered') return reply.text;
    throw new Error(reply.kind === 'failed' ? reply.message : 'it gave no text');
  } catch (error) {
    if (options.signal?.aborted === true || isCalyxError(error)) throw error;
    const isLate = error instanceof DeadlineError;
    throw new CalyxError(
      isLate ? 'timeout' : 'invalid-model',
      isLate
        ? `${template.file}: the chat template did not end within ${timeoutMs / 1000} s`
        : `${template.file}: the chat template failed: ${errorMessage(error)}`,
      { hint: RAW_HINT, cause: error },
    );
  } finally {
    child.kill('SIGKILL');
  }
}

/** The next message of the process, or the reason why there will be none. */
function nextReply(child: ChildProcess, signal: AbortSignal): Promise<RenderReply> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      child.off('message', onMessage).off('error', onError).off('exit', onExit);
      signal.removeEventListener('abort', onAbort);
    };
    const onMessage = (reply: unknown): void => {
      done();
      resolve(reply as RenderReply);
    };
    const onError = (error: Error): void => {
      done();
      reject(error);
    };
    const onExit = (code: number | null, killed: NodeJS.Signals | null): void =>
      onError(
        new Error(
          `its process ended (${killed ?? `exit code ${code ?? 'unknown'}`}); it may have run out of memory`,
        ),
      );
    const onAbort = (): void => onError(signal.reason as Error);
    child.once('message', onMessage).once('error', onError).once('exit', onExit);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
