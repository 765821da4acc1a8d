import { CalyxError } from './errors.js';

/** What {@link parseStrictJson} returns: objects are Maps, so that no key (`__proto__`) can mean anything special. */
export type StrictJson = null | boolean | number | string | StrictJson[] | Map<string, StrictJson>;

const MAX_DEPTH = 32;
const SPACE = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y; // eslint-disable-line no-control-regex -- RFC 8259, section 7
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/**
 * Reads JSON (RFC 8259) from a stranger. Unlike JSON.parse it refuses an object that has the same name twice, of which
 * JSON.parse would silently keep the last.
 *
 * @param text the document
 * @param what names the document in errors
 * @throws CalyxError `invalid-model` with the position of what is wrong
 */
export function parseStrictJson(text: string, what: string): StrictJson {
  return new Reader(text, what).document();
}

class Reader {
  readonly #text: string;
  readonly #what: string;
  #at = 0;

  constructor(text: string, what: string) {
    this.#text = text;
    this.#what = what;
  }

  document(): StrictJson {
    const value = this.#value(0);
    this.#match(SPACE);
    if (this.#at < this.#text.length) throw this.#error('there is text after the end of the JSON');
    return value;
  }

  #value(depth: number): StrictJson {
    if (depth > MAX_DEPTH) throw this.#error('the JSON is nested too deeply');
    this.#match(SPACE);
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default: {
        const digits = this.#match(NUMBER);
        if (digits === '') throw this.#error('the JSON is cut off or not valid');
        return Number(digits);
      }
    }
  }

  #object(depth: number): Map<string, StrictJson> {
    const object = new Map<string, StrictJson>();
    this.#at += 1;
    if (this.#next('}')) return object;
    do {
      this.#match(SPACE);
      const name = this.#string();
      if (object.has(name)) throw this.#error(`the name ${JSON.stringify(name)} appears twice in one object`);
      if (!this.#next(':')) throw this.#error("a ':' is missing");
      object.set(name, this.#value(depth + 1));
    } while (this.#next(','));
    if (!this.#next('}')) throw this.#error("a ',' or '}' is missing");
    return object;
  }

  #array(depth: number): StrictJson[] {
    const array: StrictJson[] = [];
    this.#at += 1;
    if (this.#next(']')) return array;
    do array.push(this.#value(depth + 1));
    while (this.#next(','));
    if (!this.#next(']')) throw this.#error("a ',' or ']' is missing");
    return array;
  }

  #string(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') throw this.#error('a name or string is missing');
    this.#at += 1;
    let escaped = false;
    for (;;) {
      this.#match(PLAIN);
      const next = this.#text[this.#at];
      if (next === '"') break;
      if (next !== '\\' || this.#match(ESCAPE) === '') throw this.#error('a string is cut off or not valid');
      escaped = true;
    }
    this.#at += 1;
    if (!escaped) return this.#text.slice(start + 1, this.#at - 1);
    return JSON.parse(this.#text.slice(start, this.#at)) as string;
  }

  #word<T extends StrictJson>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error('the JSON is cut off or not valid');
    this.#at += word.length;
    return value;
  }

  #next(character: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #error(problem: string): CalyxError {
    return new CalyxError('invalid-model', `${this.#what}: ${problem} (at character ${this.#at})`);
  }
}
