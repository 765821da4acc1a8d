import { describe, expect, it } from 'vitest';
import { readChatTemplate, renderChat } from '../../src/inference/chat-template.js';
import { readEosIds } from '../../src/inference/special-tokens.js';
import { Tokenizer } from '../../src/inference/tokenizer.js';
import { readGolden, readText, TINY_CALYX } from './model-files.js';

const file = (name: string): { name: string; text: string } => ({ name, text: readText(TINY_CALYX, name) });
const tokenizer = new Tokenizer(file('tokenizer.json'), file('tokenizer_config.json'));
const template = readChatTemplate({
  template: file('chat_template.jinja'),
  tokenizerConfig: file('tokenizer_config.json'),
});

describe('tiny-calyx: text as transformers has it', () => {
  for (const { prompt, chat, rendered, tokens, greedy, text } of readGolden(TINY_CALYX).cases) {
    it(`${chat === true ? 'chat' : 'raw'}: ${JSON.stringify(prompt)}`, async () => {
      if (chat === true) {
        const written = await renderChat(template, [{ role: 'user', content: prompt as string }]);
        expect(written).toBe(rendered);
        expect(tokenizer.encode(written, { addSpecial: false })).toEqual(tokens);
      } else {
        expect(tokenizer.encode(prompt as string)).toEqual(tokens);
        // Also when the user wrote the first token: it isn't doubled.
        expect(tokenizer.encode(rendered ?? '')).toEqual(tokens);
      }
      expect(tokenizer.decode(greedy)).toBe(text);
      const stream = tokenizer.stream();
      expect(greedy.map((id) => stream.push(id)).join('') + stream.end()).toBe(text);
    });
  }

  it('stops at the ids of generation_config.json', () => {
    expect(readEosIds(file('generation_config.json'), file('config.json'))).toEqual([1, 5]);
    expect(readEosIds(undefined, file('config.json'))).toEqual([1]);
  });
});
