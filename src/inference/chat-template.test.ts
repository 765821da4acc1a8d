import { describe, expect, it } from 'vitest';
import { readChatTemplate, renderChat, type ChatTemplate } from './chat-template.js';

const template = (source: string): ChatTemplate => ({
  file: 'chat_template.jinja',
  source,
  bosToken: '<s>',
  eosToken: undefined,
});
const hello = [{ role: 'user', content: 'hello' }];
const config = (content: object): { name: string; text: string } => ({
  name: 'tokenizer_config.json',
  text: JSON.stringify(content),
});

describe('readChatTemplate', () => {
  it('prefers the file, then the string, then the default of a list', () => {
    const inConfig = config({ chat_template: 'string', bos_token: { content: '<s>' }, eos_token: '</s>' });
    expect(
      readChatTemplate({ template: { name: 't.jinja', text: 'file' }, tokenizerConfig: inConfig }),
    ).toEqual({
      file: 't.jinja',
      source: 'file',
      bosToken: '<s>',
      eosToken: '</s>',
    });
    expect(readChatTemplate({ tokenizerConfig: inConfig }).source).toBe('string');
    const list = [
      { name: 'tool_use', template: 'a' },
      { name: 'default', template: 'b' },
    ];
    expect(readChatTemplate({ tokenizerConfig: config({ chat_template: list }) }).source).toBe('b');
  });

  it('suggests --raw when there is none', () => {
    for (const files of [{}, { tokenizerConfig: config({}) }])
      expect(() => readChatTemplate(files)).toThrow(
        expect.objectContaining({ code: 'unsupported', hint: expect.stringContaining('--raw') as string }),
      );
    expect(() => readChatTemplate({ tokenizerConfig: config({ chat_template: [{ name: 'x' }] }) })).toThrow(
      expect.objectContaining({ code: 'invalid-model' }),
    );
  });
});

describe('renderChat', () => {
  it('gives the messages, the prompt flag and the special tokens that exist', async () => {
    const source =
      '{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}' +
      '{{ "yes" if eos_token is defined else "no" }}{% if add_generation_prompt %}[assistant]{% endif %}';
    expect(await renderChat(template(source), hello)).toBe('<s>[user]hellono[assistant]');
  });

  it('kills an endless template and suggests --raw', async () => {
    const endless = '{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}';
    await expect(renderChat(template(endless), hello, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'timeout',
      message: 'chat_template.jinja: the chat template did not end within 0.1 s',
      hint: expect.stringContaining('--raw') as string,
    });
  });

  it('outlives a template that takes all memory at once', async () => {
    const greedy = '{% for i in range(100000000) %}{% for j in range(100000000) %}{% endfor %}{% endfor %}';
    const rendering = renderChat(template(greedy), hello, { timeoutMs: 20_000 });
    await expect(rendering).rejects.toMatchObject({ hint: expect.stringContaining('--raw') as string });
  });

  it.each([
    ['{{ raise_exception("only users may speak") }}', 'only users may speak'],
    ['{% for %}', 'the chat template failed'],
    ['{{ messages[0].content }} is long', 'at most 5 are taken'],
  ])('reports that %s failed, and suggests --raw', async (source, message) => {
    await expect(renderChat(template(source), hello, { maxOutputChars: 5 })).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining('--raw') as string,
    });
  });

  it('bounds the memory of a template', async () => {
    const greedy =
      '{% set ns = namespace(l=range(1000)|list) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}';
    await expect(renderChat(template(greedy), hello, { timeoutMs: 60_000 })).rejects.toMatchObject({
      code: 'invalid-model',
      hint: expect.stringContaining('--raw') as string,
    });
  });

  it('stops when the signal fires', async () => {
    await expect(
      renderChat(template('x'), hello, { signal: AbortSignal.abort(new Error('enough')) }),
    ).rejects.toThrow('enough');
  });
});
