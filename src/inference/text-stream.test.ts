import { describe, expect, it } from 'vitest';
import { TextStream } from './text-stream.js';
import { Tokenizer } from './tokenizer.js';

/** Each id is a byte, as in a byte-level vocabulary. */
const bytes = (ids: readonly number[]): string => Buffer.from(ids).toString('utf8');

describe('TextStream', () => {
  it('never gives out half a character', () => {
    const text = 'né 😀好!';
    const stream = new TextStream(bytes);
    const pieces = [...Buffer.from(text)].map((byte) => stream.push(byte));
    expect(pieces.filter((piece) => piece !== '')).toEqual(['n', 'é', ' ', '😀', '好', '!']);
    expect(stream.end()).toBe('');
  });

  it('gives out what never became a character at the end', () => {
    const stream = new TextStream(bytes);
    expect([0x61, 0xf0, 0x9f].map((byte) => stream.push(byte))).toEqual(['a', '', '']);
    expect(stream.end()).toBe('\ufffd');
    expect(stream.end()).toBe('');
  });

  // As the tokenizers of Llama 2 and Mistral do: a word carries its space, and the first of a text is dropped.
  const words = ['▁there', '▁was', '▁a', 's', ''];
  const sentence = (ids: readonly number[]): string =>
    ids
      .map((id) => words[id] ?? '')
      .join('')
      .replaceAll('▁', ' ')
      .replace(/^ /, '');
  it('keeps the spaces between words that the decoder drops at the beginning', () => {
    const ids = [0, 1, 4, 4, 2, 3];
    const stream = new TextStream(sentence);
    expect(ids.map((id) => stream.push(id))).toEqual(['there', ' was', '', '', ' a', 's']);
    const going = new TextStream(sentence, [1, 2]);
    expect(going.push(0)).toBe(' there');
  });
});

describe('Tokenizer', () => {
  const file = (content: object): { name: string; text: string } => ({
    name: 'tokenizer.json',
    text: JSON.stringify(content),
  });
  const special = (id: number, content: string): object => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  });
  const good = {
    added_tokens: [special(0, '<s>'), special(1, '</s>')],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: {
      type: 'BPE',
      vocab: { '<s>': 0, '</s>': 1, a: 2, b: 3, ab: 4 },
      merges: ['a b'],
      unk_token: null,
    },
  };
  const config = (content: object): { name: string; text: string } => ({
    name: 'tokenizer_config.json',
    text: JSON.stringify(content),
  });

  it('begins a raw prompt with the token that is named for it, exactly once', () => {
    const named = new Tokenizer(file(good), config({ bos_token: { content: '<s>' } }));
    expect(named.encode('ab')).toEqual([0, 4]);
    expect(named.encode('<s>ab')).toEqual([0, 4]);
    expect(named.encode('ab', { addSpecial: false })).toEqual([4]);
    expect(
      new Tokenizer(file(good), config({ bos_token: '<s>', add_bos_token: false })).encode('ab'),
    ).toEqual([4]);
    expect(new Tokenizer(file(good), config({ bos_token: null })).encode('ab')).toEqual([4]);
    expect(new Tokenizer(file(good)).encode('ab')).toEqual([4]);
    const rule = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
    };
    const ruled = new Tokenizer(file({ ...good, post_processor: rule }), config({ bos_token: '<s>' }));
    expect(ruled.encode('ab')).toEqual([0, 4]);
    expect(ruled.encode('<s>ab')).toEqual([0, 4]);
  });

  it('leaves special and unknown ids out of the text', () => {
    const tokenizer = new Tokenizer(file(good));
    expect(tokenizer.decode([0, 4, 99, 2, 1])).toBe('aba');
    expect(tokenizer.decode([0])).toBe('');
  });

  it.each([
    ['no JSON', '{'],
    ['no tokenizer', '{}'],
    ['a list', '[]'],
    ['an unknown model', JSON.stringify({ ...good, model: { type: 'Magic', vocab: {} } })],
    ['an unknown decoder', JSON.stringify({ ...good, decoder: { type: 'Magic' } })],
    [
      'a broken pattern',
      JSON.stringify({
        ...good,
        pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' },
      }),
    ],
  ])('names the file that is %s', (_what, text) => {
    expect(() => new Tokenizer({ name: 'tokenizer.json', text })).toThrow(
      expect.objectContaining({
        code: 'invalid-model',
        message: expect.stringContaining('tokenizer.json') as string,
      }),
    );
  });
});
