import { expect, test } from 'vitest';
import { parseAnswerHead } from './http-head.js';

test('reads the status and the fields by lower-case name', () => {
  const head = parseAnswerHead('HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX-A:1\r\nx-a: \t2 ');
  expect(head).toEqual({
    status: 206,
    persistent: true,
    headers: new Map([
      ['content-length', '5'],
      ['x-a', '1, 2'],
    ]),
  });
});

test.each([
  ['HTTP/1.0 206 OK', false],
  ['HTTP/1.1 200 ', true],
  ['HTTP/1.1 200 OK\r\nConnection: Close', false],
  ['HTTP/1.1 200 OK\r\nConnection: keep-alive', true],
])('tells whether the connection stays: %j', (text, persistent) => {
  expect(parseAnswerHead(text)?.persistent).toBe(persistent);
});

test.each([
  '',
  'ICY 200 OK',
  'HTTP/2 200',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 200 OK\r\nno colon',
  'HTTP/1.1 200 OK\r\nspace : 1',
  'HTTP/1.1 200 OK\r\na: 1\r\n folded',
  'HTTP/1.1 200 OK\nbare: 1',
  'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nContent-Length: 6',
])('refuses %j', (text) => {
  expect(parseAnswerHead(text)).toBeUndefined();
});
