import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import { XdrWriter } from '../xdr/xdr-writer.js';
import { Nfs3Reader } from './nfs3-reader.js';
import { Nfs41Reader } from './nfs41-reader.js';
import { SessionSlots } from './session-slots.js';
import type { RpcCaller } from './rpc-caller.js';

/** One exchange: program and procedure, the words of the arguments and of the answer in hexadecimal, written by hand from the RFCs. */
type Exchange = readonly [procedure: string, args: string | RegExp, answer: string];

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const never = new AbortController().signal;

/** Answers by a script; every exchange must come in its turn. */
function scripted(script: readonly Exchange[]): RpcCaller & { readonly left: () => number } {
  const waiting = [...script];
  return {
    call: ({ program, version, procedure }, encode) => {
      const [name, args, answer] = waiting.shift() ?? ['nothing more', '', ''];
      expect(`${program}.${version}.${procedure}`).toBe(name);
      const writer = new XdrWriter();
      encode(writer);
      const sent = Buffer.concat(writer.finish().buffers).toString('hex');
      if (typeof args === 'string') expect(sent).toBe(hex(args).toString('hex'));
      else expect(sent).toMatch(args);
      return Promise.resolve(new XdrReader(hex(answer)));
    },
    close: () => undefined,
    left: () => waiting.length,
  };
}

// fattr3 (RFC 1813, section 2.5): type, mode, nlink, uid, gid, size, used, rdev, fsid, fileid, three times.
const fattr3 = (type: string, size: string): string =>
  `${type} 00000124 00000001 00000000 00000000 ${size} ${size} 00000000 00000000 0000000000000001 0000000000000002 ${'00000000'.repeat(6)}`;
const DIRECTORY = fattr3('00000002', '0000000000001000');
const FILE = fattr3('00000001', '0000000100000003');
const OPEN3: readonly Exchange[] = [
  ['100005.3.1', '00000002 2f6d0000', '00000000 00000004 aabbccdd 00000001 00000001'],
  ['100003.3.1', '00000004 aabbccdd', `00000000 ${DIRECTORY}`],
];

describe('the reader of version 3', () => {
  it('mounts, looks up and reads with the bytes of RFC 1813', async () => {
    const rpc = scripted([
      ...OPEN3,
      [
        '100003.3.3',
        '00000004 aabbccdd 00000001 66000000',
        `00000000 00000002 11220000 00000001 ${FILE} 00000000`,
      ],
      [
        '100003.3.6',
        '00000002 11220000 0000000100000000 00000008',
        '00000000 00000000 00000003 00000001 00000003 61626300',
      ],
    ]);
    const reader = await Nfs3Reader.open(rpc, '/m', never);
    expect(reader.root).toEqual({
      handle: Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd),
      kind: 'directory',
      size: 4096,
    });
    const file = await reader.lookup(reader.root, 'f', never);
    expect(file).toEqual({ handle: Uint8Array.of(0x11, 0x22), kind: 'file', size: 2 ** 32 + 3 });
    const { bytes, end } = await reader.read(file, 2 ** 32, 8, never);
    expect([Buffer.from(bytes).toString(), end]).toEqual(['abc', true]);
    expect(rpc.left()).toBe(0);
  });

  it('lists with READDIRPLUS until the end, without the two names of directories', async () => {
    const entry = (name: string, cookie: string, more: string): string =>
      `00000001 0000000000000002 ${name} 00000000000000${cookie} ${more}`;
    const known = `00000001 ${FILE} 00000001 00000002 11220000`;
    const none = '00000000 00000000';
    const rpc = scripted([
      ...OPEN3,
      [
        '100003.3.17',
        '00000004 aabbccdd 0000000000000000 0000000000000000 00040000 00040000',
        `00000000 00000000 0102030405060708 ${entry('00000001 2e000000', '01', none)} ${entry('00000001 66000000', '02', known)} 00000000 00000000`,
      ],
      [
        '100003.3.17',
        '00000004 aabbccdd 0000000000000002 0102030405060708 00040000 00040000',
        `00000000 00000000 0102030405060708 ${entry('00000002 2e2e0000', '03', none)} ${entry('00000001 67000000', '04', none)} 00000000 00000001`,
      ],
    ]);
    const reader = await Nfs3Reader.open(rpc, '/m', never);
    const entries = await reader.list(reader.root, 100, never);
    expect(entries.map(({ name, node }) => [name, node?.kind])).toEqual([
      ['f', 'file'],
      ['g', undefined],
    ]);
  });

  it('ends a listing of which nothing comes but the directory itself', async () => {
    const page = (cookie: string): Exchange => [
      '100003.3.17',
      /^00000004aabbccdd/,
      `00000000 00000000 0102030405060708 00000001 0000000000000002 00000001 2e000000 00000000000000${cookie} 00000000 00000000 00000000 00000000`,
    ];
    const rpc = scripted([...OPEN3, page('01'), page('02'), page('03')]);
    const reader = await Nfs3Reader.open(rpc, '/m', never);
    expect(await reader.list(reader.root, 1, never)).toEqual([]);
    expect(rpc.left()).toBe(0);
  });

  it.each([
    ['0000000d', 'refused', 'access denied'],
    ['00000002', 'not-found', 'no such file'],
    ['00000000 000000ff', 'unavailable', 'malformed'],
    ['', 'unavailable', 'malformed'],
  ] as const)('says what an answer of %s to MNT means', async (answer, code, says) => {
    const rpc = scripted([['100005.3.1', '00000002 2f6d0000', answer]]);
    await expectError(() => Nfs3Reader.open(rpc, '/m', never), code, says);
  });
});

// RFC 8881: SEQUENCE is 53, PUTROOTFH 24, LOOKUP 15, GETFH 10, GETATTR 9, PUTFH 22, READ 25.
const SESSION = '000102030405060708090a0b0c0d0e0f';
const CHANNEL = '00000000 00100000 00100400 00000400 00000010 00000002 00000000';
const sequenceOf = (sequence: string): string =>
  `00000035 ${SESSION} 0000000${sequence} 00000000 00000001 00000000`;
const sequenced = (sequence: string): string =>
  `00000035 00000000 ${SESSION} 0000000${sequence} 00000000 00000001 00000001 00000000`;
const OPEN41: readonly Exchange[] = [
  [
    '100003.4.1',
    /^0000000000000001000000010000002a/,
    '00000000 00000000 00000001 0000002a 00000000 0000000000000009 00000001 00010000 00000000 0000000000000000 00000001 61000000 00000001 62000000 00000000',
  ],
  [
    '100003.4.1',
    /^0000000000000001000000010000002b00000000000000090000000100000000/,
    `00000000 00000000 00000001 0000002b 00000000 ${SESSION} 00000001 00000000 ${CHANNEL} ${CHANNEL}`,
  ],
  [
    '100003.4.1',
    `00000000 00000001 00000002 ${sequenceOf('1')} 0000003a 00000000`,
    `00000000 00000000 00000002 ${sequenced('1')} 0000003a 00000000`,
  ],
];
// Type, size, RDATTR_ERROR and file handle: 0x00080812.
const GET = '0000000a 00000009 00000001 00080812';

describe('the reader of version 4.1', () => {
  it('makes a session, looks up and reads with the bytes of RFC 8881', async () => {
    const attributes = '00000001 00080012 00000014 00000002 0000000000001000 00000002 11220000';
    const rpc = scripted([
      ...OPEN41,
      [
        '100003.4.1',
        `00000000 00000001 00000005 ${sequenceOf('2')} 00000018 0000000f 00000001 6d000000 ${GET}`,
        `00000000 00000000 00000005 ${sequenced('2')} 00000018 00000000 0000000f 00000000 0000000a 00000000 00000002 11220000 00000009 00000000 ${attributes}`,
      ],
      [
        '100003.4.1',
        `00000000 00000001 00000003 ${sequenceOf('3')} 00000016 00000002 11220000 00000019 00000000 000000000000000000000000 0000000100000000 00000008`,
        `00000000 00000000 00000003 ${sequenced('3')} 00000016 00000000 00000019 00000000 00000001 00000003 61626300`,
      ],
    ]);
    const reader = await Nfs41Reader.open(rpc, '/m', never);
    expect(reader.maxInFlight).toBe(2);
    expect(reader.root).toEqual({ handle: Uint8Array.of(0x11, 0x22), kind: 'directory', size: 4096 });
    const { bytes, end } = await reader.read(reader.root, 2 ** 32, 8, never);
    expect([Buffer.from(bytes).toString(), end]).toEqual(['abc', true]);
    expect(rpc.left()).toBe(0);
  });

  it('says what a status means', async () => {
    const [first] = OPEN41;
    const rpc = scripted([[first?.[0] ?? '', first?.[1] ?? '', '00002725 00000000 00000000']]);
    await expectError(() => Nfs41Reader.open(rpc, '/', never), 'unsupported', 'minor version');
  });
});

describe('slots of a session', () => {
  it('carry one request each, numbered one after the other, and let others wait', async () => {
    const slots = new SessionSlots(2);
    const log: string[] = [];
    const ends: (() => void)[] = [];
    const request = (): Promise<void> =>
      slots.use(({ slot, sequence }) => {
        log.push(`${slot}:${sequence}`);
        return new Promise((resolve) => ends.push(resolve));
      });
    const all = [request(), request(), request()];
    await Promise.resolve();
    expect(log).toEqual(['0:1', '1:1']);
    ends[1]?.();
    await all[1];
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['0:1', '1:1', '1:2']);
    for (const end of ends) end();
    await Promise.all(all);
  });
});
