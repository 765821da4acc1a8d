import { describe, expect, it } from 'vitest';
import { formatHubToken, formatJoinString, parseJoinString, parseToken } from './cluster-token.js';

const SECRET = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I';
const FINGERPRINT = 'ZmluZ2VycHJpbnQtZmluZ2VycHJpbnQtZmluZ2VycHI';
const TOKEN = `calyx1.0123456789ab.${SECRET}.${FINGERPRINT}`;
const JOIN = `calyx://10.0.0.1:7070,[fd00::1]:7071,store.lan:443/#${TOKEN}`;
const ADDRESSES = ['10.0.0.1:7070', '[fd00::1]:7071', 'store.lan:443'];

describe('join strings', () => {
  it('hold addresses, the secret and whose it is', () => {
    const token = { id: '0123456789ab', secret: SECRET, fingerprint: FINGERPRINT };
    expect(parseJoinString(JOIN)).toEqual({ addresses: ADDRESSES, token });
    expect(formatJoinString({ addresses: ADDRESSES, token })).toBe(JOIN);
  });

  it.each([[` ${JOIN}\n`], [`calyx join '${JOIN}'\n`], [`npx calyx join "${JOIN}"`], [`calyx join ${JOIN}`]])(
    'are found in the line that was pasted',
    (pasted) => {
      expect(parseJoinString(pasted).addresses).toEqual(ADDRESSES);
    },
  );

  it.each([
    ['', 'does not have the form'],
    ['https://10.0.0.1:7070', 'does not have the form'],
    [`calyx://10.0.0.1/#${TOKEN}`, "'10.0.0.1' is not HOST:PORT"],
    [`calyx://10.0.0.1:0/#${TOKEN}`, "'10.0.0.1:0' is not HOST:PORT"],
    [`calyx://10.0.0.1:65536/#${TOKEN}`, 'is not HOST:PORT'],
    [`calyx://user@10.0.0.1:1/#${TOKEN}`, 'is not HOST:PORT'],
    [`calyx://10.0.0.1:7070/#${TOKEN.slice(0, -1)}`, 'not whole'],
    [`calyx://${Array.from({ length: 65 }, () => 'a:1').join(',')}/#${TOKEN}`, 'more than 64 addresses'],
  ])('that are none are told without their secret: %j', (text, problem) => {
    let message = '';
    try {
      parseJoinString(text);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(problem);
    expect(message).not.toContain(SECRET.slice(0, 20));
  });
});

describe('the form for clients of the Hub', () => {
  // The bytes of both in hexadecimal digits, by xxd.
  const SECRET_HEX = '7365637265742d7365637265742d7365637265742d7365637265742d73656372';
  const FINGERPRINT_HEX = '66696e6765727072696e742d66696e6765727072696e742d66696e6765727072';
  const HUB = `hf_calyx10123456789ab${SECRET_HEX}${FINGERPRINT_HEX}`;

  it('is the same token', () => {
    const token = { id: '0123456789ab', secret: SECRET, fingerprint: FINGERPRINT };
    expect(formatHubToken(token)).toBe(HUB);
    expect(parseToken(HUB)).toEqual(token);
  });

  it('is what such clients look for', () => {
    // llama.cpp: 'hf_', then letters and digits, 37 to 256 characters in all.
    expect(HUB).toMatch(/^hf_[A-Za-z0-9]{34,253}$/);
  });

  it.each([[`${HUB}0`], [HUB.slice(0, -1)], [HUB.toUpperCase()], [HUB.replace('hf_', '')]])(
    'is nothing else: %j',
    (text) => {
      expect(parseToken(text)).toBeUndefined();
    },
  );
});

describe('parseToken', () => {
  it.each([[''], [`${TOKEN}x`], [TOKEN.replace('calyx1', 'calyx2')], [TOKEN.toUpperCase()], [` ${TOKEN}`]])(
    'takes nothing else for a token: %j',
    (text) => {
      expect(parseToken(text)).toBeUndefined();
    },
  );
});
