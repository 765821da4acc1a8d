import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { CalyxError } from '../../src/core/errors.js';
import { generate } from '../../src/inference/generate.js';
import { StageClient } from '../../src/inference/stage-client.js';
import type { StageLink } from '../../src/inference/stage-link.js';
import { encodeTensorMessage, TENSOR_MEDIA_TYPE } from '../../src/inference/tensor-message.js';
import { fixture, readGolden } from './model-files.js';
import {
  collect,
  configOf,
  connect,
  IDENTITY,
  serve,
  split,
  startHosts,
  tokenInput,
  using,
} from './pipelines.js';

const directory = fixture('qwen2-tied');
const config = configOf(directory);
const golden = readGolden(directory).cases[1];
const prompt = golden?.prompt as number[];
const SESSION = 'session-0000-0001';

/** A stage which answers at once or as `forward` says; no arithmetic. */
function fakeStage(forward: StageLink['forward']): StageLink {
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    name: 'fake',
    blocks: { start: 0, end: 5 },
    embed: true,
    head: true,
    open: nothing,
    close: nothing,
    forward,
  };
}
const answering = fakeStage(() =>
  Promise.resolve({ kind: 'logits', data: new Float32Array(config.vocabSize) }),
);

describe('a stage over HTTP', () => {
  it('ends a generation with the node and its blocks when a node dies in the middle', async () => {
    const hosts = await startHosts(directory, split(config.blockCount, 2), { maxSessions: 1 });
    const served = await Promise.all(hosts.map((host) => serve(host, config)));
    const clients = await Promise.all(served.map(({ url }) => connect(url)));
    await using([...clients, ...served, ...hosts], async () => {
      const tokens: number[] = [];
      const run = async (): Promise<void> => {
        for await (const token of generate({ stages: clients, config, prompt, maxTokens: 24 })) {
          tokens.push(token);
          if (tokens.length === 3) await served[1]?.server.close();
        }
      };
      await expect(run()).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining(`${served[1]?.url ?? ''} (blocks 2:5)`) as string,
      });
      expect(tokens).toEqual(golden?.greedy.slice(0, 3));
      // The session on the surviving node was closed, so there is room for another.
      await hosts[0]?.open(SESSION, 4);
      await expect(hosts[0]?.open('session-0000-0002', 4)).rejects.toMatchObject({ code: 'busy' });
    });
  });

  it('refuses another revision, in describe and in open', async () => {
    const served = await serve(answering, config);
    await using([served], async () => {
      const other = { ...IDENTITY, revision: 'b'.repeat(40) };
      await expect(StageClient.connect(served.url, other)).rejects.toMatchObject({ code: 'changed' });
      const body = { session: SESSION, model: other.model, revision: other.revision, max_tokens: 5 };
      const reply = await served.server.inject({ method: 'POST', url: '/v1/stage/sessions', payload: body });
      expect(reply.statusCode).toBe(409);
      expect(reply.json()).toMatchObject({ error: { code: 'changed' } });
    });
  });

  it('brings errors of the stage back with the URL', async () => {
    const stage = fakeStage(() => Promise.reject(new CalyxError('busy', 'too much', { hint: 'wait' })));
    const served = await serve(stage, config);
    const client = await connect(served.url);
    await using([client, served], async () => {
      await client.open(SESSION, 4);
      await expect(client.forward(SESSION, 0, tokenInput([1]))).rejects.toMatchObject({
        code: 'busy',
        message: `${served.url} (blocks 0:5): too much`,
        hint: 'wait',
      });
    });
  });

  it('gives up on a node that does not answer', async () => {
    const served = await serve(
      fakeStage(() => new Promise(() => undefined)),
      config,
    );
    const client = await connect(served.url, { forwardTimeoutMs: 50 });
    await using([client, served], async () => {
      await client.open(SESSION, 4);
      await expect(client.forward(SESSION, 0, tokenInput([1]))).rejects.toMatchObject({
        code: 'unavailable',
        message: `${served.url} (blocks 0:5): no answer within 0.05 s`,
      });
    });
  });

  it('tells the stage when the client goes away', async () => {
    let gone: (() => void) | undefined;
    const left = new Promise<void>((resolve) => (gone = resolve));
    const stage = fakeStage((_id, _position, _input, { signal } = {}) => {
      signal?.addEventListener('abort', () => gone?.());
      started.resolve();
      return new Promise(() => undefined);
    });
    const started = deferred();
    const served = await serve(stage, config);
    const client = await connect(served.url);
    await using([client, served], async () => {
      await client.open(SESSION, 4);
      const controller = new AbortController();
      const call = client.forward(SESSION, 0, tokenInput([1]), { signal: controller.signal });
      await started.promise;
      controller.abort(new Error('stopped by the user'));
      await expect(call).rejects.toThrow('stopped by the user');
      await left;
    });
  });

  it('says at once that nobody listens', async () => {
    const served = await serve(answering, config);
    await served.server.close();
    await expect(connect(served.url)).rejects.toMatchObject({
      code: 'unavailable',
      message: `${served.url}: connection refused`,
    });
    await expect(connect('ftp://node')).rejects.toMatchObject({ code: 'usage' });
  });

  const hidden = encodeTensorMessage({ name: 'hidden_states', shape: [1, 1, 8], data: new Float32Array(8) });
  const logits = encodeTensorMessage({ name: 'logits', shape: [1, 320], data: new Float32Array(320) });
  it.each([
    ['another tensor', Buffer.concat(hidden), /wrong size/],
    ['a cut message', Buffer.concat(logits).subarray(0, -1), /malformed/],
    ['an endless answer', Buffer.alloc(1_000_000), /longer than/],
  ])('takes no answer that is %s', async (_what, body, message) => {
    const server = createServer((request, response) => {
      if (request.method === 'GET') response.end(JSON.stringify(describeJson));
      else response.end(body);
    });
    const url = await listening(server);
    const client = await connect(url);
    try {
      await expect(client.forward(SESSION, 0, tokenInput([1]))).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(message) as string,
      });
    } finally {
      await client.disconnect();
      server.closeAllConnections();
      server.close();
    }
  });

  it('makes a forward again when a kept connection was closed under it', async () => {
    let calls = 0;
    const server = createServer((request, response) => {
      if (request.method === 'GET') response.end(JSON.stringify(describeJson));
      else if ((calls += 1) === 1) request.socket.destroy();
      else response.end(Buffer.concat(logits));
    });
    const client = await connect(await listening(server));
    try {
      expect((await client.forward(SESSION, 0, tokenInput([1]))).data).toHaveLength(320);
      expect(calls).toBe(2);
    } finally {
      await client.disconnect();
      server.close();
    }
  });

  it.each([
    ['no position', '/forward', Buffer.concat(encodeTensorMessage(ids(1))), 400],
    [
      'a position that is no number',
      '/forward?position=1e3',
      Buffer.concat(encodeTensorMessage(ids(1))),
      400,
    ],
    ['too large a body', '/forward?position=0', Buffer.concat(encodeTensorMessage(ids(2000))), 413],
    ['a malformed body', '/forward?position=0', Buffer.from('nonsense'), 400],
    ['hidden states of another size', '/forward?position=0', Buffer.concat(hidden), 400],
  ])('refuses a forward with %s', async (_what, path, payload, status) => {
    const served = await serve(answering, config);
    await using([served], async () => {
      const headers = { 'content-type': TENSOR_MEDIA_TYPE };
      const url = `/v1/stage/sessions/${SESSION}${path}`;
      const reply = await served.server.inject({ method: 'POST', url, headers, payload });
      expect(reply.statusCode).toBe(status);
      expect(reply.json()).toMatchObject({ error: { code: 'usage' } });
    });
  });
});

describe('generate', () => {
  it('closes the sessions when the consumer stops, when it is aborted and when a stage fails', async () => {
    const open = new Set<string>();
    const recording = (forward: StageLink['forward']): StageLink => ({
      ...fakeStage(forward),
      open: (id) => Promise.resolve(void open.add(id)),
      close: (id) => Promise.resolve(void open.delete(id)),
    });
    const fine = recording((...args) => answering.forward(...args));
    const base = { config, prompt: [1, 2, 3], maxTokens: 10 };
    for await (const token of generate({ ...base, stages: [fine] })) {
      expect(token).toBe(0);
      expect(open.size).toBe(1);
      break;
    }
    expect(open.size).toBe(0);
    const broken = recording(() => Promise.reject(new CalyxError('unavailable', 'gone')));
    await expect(collect({ ...base, stages: [broken] })).rejects.toThrow('gone');
    expect(open.size).toBe(0);
    const controller = new AbortController();
    const hanging = recording((_id, _position, _input, { signal } = {}) => {
      queueMicrotask(() => controller.abort(new Error('enough')));
      return new Promise((_resolve, reject) =>
        signal?.addEventListener('abort', () => reject(signal.reason as Error)),
      );
    });
    await expect(collect({ ...base, stages: [hanging], signal: controller.signal })).rejects.toThrow(
      'enough',
    );
    expect(open.size).toBe(0);
  });

  it('stays within the context and refuses prompts that cannot be', async () => {
    const base = { config: { ...config, maxPositions: 4 }, stages: [answering], maxTokens: 10 };
    expect(await collect({ ...base, prompt: [1, 2, 3] })).toHaveLength(2);
    for (const wrong of [[], [1, 2, 3, 4, 5], [320], [-1], [1.5]])
      await expect(collect({ ...base, prompt: wrong })).rejects.toMatchObject({ code: 'usage' });
    const half = { ...answering, blocks: { start: 0, end: 3 }, head: false };
    await expect(collect({ ...base, prompt: [1], stages: [half] })).rejects.toThrow(/ends at block 3 of 5/);
  });
});

const describeJson = {
  ...IDENTITY,
  blocks: [0, 5],
  embed: true,
  head: true,
  hidden_size: config.hiddenSize,
  vocab_size: config.vocabSize,
  max_forward_tokens: 512,
};

function ids(count: number): Parameters<typeof encodeTensorMessage>[0] {
  return { name: 'input_ids', shape: [1, count], data: new BigInt64Array(count) };
}

function listening(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () =>
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    );
  });
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve: () => resolve() };
}
