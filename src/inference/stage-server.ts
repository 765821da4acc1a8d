import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';
import type { Doorkeeper } from '../core/doorkeeper.js';
import { CalyxError } from '../core/errors.js';
import { parseModelName } from '../core/names.js';
import { showsModel } from '../core/shown-models.js';
import type { DecoderConfig } from './decoder-config.js';
import {
  descriptionToJson,
  OPEN_REQUEST,
  STAGE_PATH,
  type StageDescription,
  type StageIdentity,
} from './stage-description.js';
import { kvBytesPerToken } from './kv-cache.js';
import type { StageInput, StageLink } from './stage-link.js';
import { StageSessions } from './stage-sessions.js';
import { DEFAULT_STAGE_LIMITS, type StageLimits } from './stage.js';
import {
  decodeTensorMessage,
  encodeTensorMessage,
  maxMessageBytes,
  outputMessage,
  TENSOR_MEDIA_TYPE,
  type TensorMessage,
} from './tensor-message.js';

/** What {@link stageServer} serves. */
export interface StageServerOptions {
  readonly stage: StageLink;
  readonly identity: StageIdentity;
  readonly config: DecoderConfig;
  /** As the stage was made with. @default DEFAULT_STAGE_LIMITS */
  readonly limits?: Partial<StageLimits>;
  /** Tells of tokens that end; their sessions end with them. @default nobody: the listener knows no tokens */
  readonly doorkeeper?: Pick<Doorkeeper, 'onRevoked'> | undefined;
}

const READ = { access: 'read' } as const;

/** JSON bodies are one small object. */
const MAX_JSON_BYTES = 4096;

/**
 * A fastify plugin with the routes of one stage. The listener it is mounted on checks who asks, and answers what is thrown;
 * to those whose grant does not show the model, the stage does not exist; nor does a session for another token than the one that
 * opened it.
 *
 * - `GET /v1/stage`: the description
 * - `POST /v1/stage/sessions` `{session, model, revision, max_tokens}`: opens a session
 * - `POST /v1/stage/sessions/ID/forward?position=N`: a tensor message in, a tensor message out
 * - `DELETE /v1/stage/sessions/ID`: closes it
 *
 * @example
 * await server.register(stageServer, { stage, identity: { model: 'org/name', revision }, config });
 */
export const stageServer: FastifyPluginCallback<StageServerOptions> = (server, options, done) => {
  const { stage, config } = options;
  const limits = { ...DEFAULT_STAGE_LIMITS, ...options.limits };
  const { maxForwardTokens, maxSessions, idleTimeoutMs } = limits;
  const maxTokens = limits.kvBudgetBytes / kvBytesPerToken(config, stage.blocks);
  const sessions = new StageSessions({ stage, maxSessions, maxTokens, idleTimeoutMs });
  const unsubscribe = options.doorkeeper?.onRevoked((tokenId) => sessions.drop(tokenId));
  server.addHook('onClose', (_server, closed) => {
    unsubscribe?.();
    closed();
  });
  const description: StageDescription = {
    ...options.identity,
    blocks: stage.blocks,
    embed: stage.embed,
    head: stage.head,
    hiddenSize: config.hiddenSize,
    vocabSize: config.vocabSize,
    maxForwardTokens,
  };
  setUpBodies(server, description);

  const model = parseModelName(options.identity.model);
  server.addHook('onRequest', (request, _reply, next) => {
    next(
      showsModel(request.grant, model) ? undefined : new CalyxError('not-found', 'there is no such stage'),
    );
  });

  server.get(STAGE_PATH, { config: READ }, () => descriptionToJson(description));

  server.post(
    `${STAGE_PATH}/sessions`,
    { bodyLimit: MAX_JSON_BYTES, config: READ },
    async (request, reply) => {
      const parsed = OPEN_REQUEST.safeParse(request.body);
      if (!parsed.success) {
        const issue = parsed.error.issues[0];
        throw new CalyxError('usage', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong value'}`);
      }
      checkIdentity(description, parsed.data);
      const { session, max_tokens } = parsed.data;
      await sessions.open(request.grant, session, max_tokens, { signal: whileConnected(reply) });
      return reply.code(201).send({});
    },
  );

  server.post<{ Params: { id: string }; Querystring: { position?: string } }>(
    `${STAGE_PATH}/sessions/:id/forward`,
    { config: READ },
    async (request, reply) => {
      const position = parsePosition(request.query.position);
      const input = inputOf(request.body as TensorMessage, description);
      const signal = whileConnected(reply);
      const output = await sessions.forward(request.grant, request.params.id, position, input, { signal });
      // One small copy costs less than sending two pieces as a stream.
      const body = Buffer.concat(encodeTensorMessage(outputMessage(output, config.hiddenSize)));
      return reply.type(TENSOR_MEDIA_TYPE).send(body);
    },
  );

  server.delete<{ Params: { id: string } }>(
    `${STAGE_PATH}/sessions/:id`,
    { config: READ },
    async (request, reply) => {
      await sessions.close(request.grant, request.params.id);
      return reply.code(204).send();
    },
  );
  done();
};

function setUpBodies(
  server: FastifyInstance,
  { embed, hiddenSize, maxForwardTokens }: StageDescription,
): void {
  const bodyLimit = embed
    ? maxMessageBytes(maxForwardTokens, BigInt64Array.BYTES_PER_ELEMENT)
    : maxMessageBytes(maxForwardTokens * hiddenSize, Float32Array.BYTES_PER_ELEMENT);
  server.addContentTypeParser(
    TENSOR_MEDIA_TYPE,
    { parseAs: 'buffer', bodyLimit },
    (_request: FastifyRequest, body: Buffer, parsed) => {
      try {
        parsed(null, decodeTensorMessage(body));
      } catch (error) {
        parsed(error as Error);
      }
    },
  );
}

function checkIdentity(own: StageIdentity, asked: StageIdentity): void {
  if (own.model === asked.model && own.revision === asked.revision) return;
  throw new CalyxError(
    'changed',
    `this node runs ${own.model}@${own.revision}, not ${asked.model}@${asked.revision}`,
    {
      hint: 'all nodes of a pipeline must run the same revision; start the node again with the one you want',
    },
  );
}

function parsePosition(text: string | undefined): number {
  if (text !== undefined && /^\d{1,9}$/.test(text)) return Number(text);
  throw new CalyxError('usage', 'position must be the number of the first new token');
}

function inputOf(message: TensorMessage | undefined, { hiddenSize }: StageDescription): StageInput {
  if (message?.name === 'input_ids') return { kind: 'tokens', data: message.data };
  if (message?.name === 'hidden_states' && message.shape[2] === hiddenSize)
    return { kind: 'hidden', data: message.data };
  throw new CalyxError(
    'usage',
    `a forward takes input_ids [1, n] or hidden_states [1, n, ${hiddenSize}] as ${TENSOR_MEDIA_TYPE}`,
  );
}

/** Fires when the client is gone before it has its answer. */
function whileConnected(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const gone = (): void => controller.abort(new CalyxError('aborted', 'the client went away'));
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) gone();
  });
  // Its connection may have been cut already, because its token ended while the body came in.
  if (reply.raw.socket?.destroyed === true) gone();
  return controller.signal;
}
