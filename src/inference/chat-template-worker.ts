import { parentPort } from 'node:worker_threads';
import { Template } from '@huggingface/jinja';
import { errorMessage } from '../core/errors.js';

/** What is to be rendered. */
export interface RenderJob {
  readonly source: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly maxOutputChars: number;
}

/** `ready` comes first; then one answer. */
export type RenderReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'rendered'; readonly text: string }
  | { readonly kind: 'failed'; readonly message: string };

const port = parentPort;
if (port === null) throw new Error('chat-template-worker runs in a worker thread only');

const render = ({ source, variables, maxOutputChars }: RenderJob): RenderReply => {
  try {
    const text = new Template(source).render(variables);
    return text.length <= maxOutputChars
      ? { kind: 'rendered', text }
      : {
          kind: 'failed',
          message: `it wrote ${text.length} characters; at most ${maxOutputChars} are taken`,
        };
  } catch (error) {
    return { kind: 'failed', message: errorMessage(error) };
  }
};

port.on('message', (job: RenderJob) => port.postMessage(render(job)));
port.postMessage({ kind: 'ready' } satisfies RenderReply);
