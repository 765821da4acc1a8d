import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { VECTORS } from '../../test/support/catalog.js';
import { ROOT } from '../../test/support/directories.js';
import { requirePython } from '../../test/support/python.js';
import { decodeManifest, encodeManifest, manifestIds, MAX_MANIFEST_BYTES } from './manifest-codec.js';

const vector = (name: string): Buffer => readFileSync(join(ROOT, 'test/vectors', `${name}.manifest`));
const small = vector('small').toString();
const gguf = vector('gguf').toString();

interface RawFile {
  path: string;
  size: number;
  blob: string;
  chunks: string;
  tensors: unknown[][];
}

interface Raw {
  files: [RawFile, RawFile, RawFile];
  parts: { embed: number[]; blocks: number[][]; head: number[] };
}

/** The small vector with one thing changed, spelled canonically. */
function changed(change: (raw: Raw) => void): Buffer {
  const raw = JSON.parse(small) as Raw;
  change(raw);
  return Buffer.from(JSON.stringify(raw));
}

interface RawGguf {
  alignment: number;
  count: number;
  pairs: string;
  furtherCount: number;
  further: [number, number][];
}

/** The vector of a GGUF model with one thing changed in what it tells of the metadata. */
function changedGguf(change: (gguf: RawGguf, raw: Raw) => void): Buffer {
  const raw = JSON.parse(gguf) as Raw;
  const [, file] = raw.files;
  change((file as RawFile & { gguf: RawGguf }).gguf, raw);
  return Buffer.from(JSON.stringify(raw));
}

function problem(bytes: Uint8Array): unknown {
  try {
    decodeManifest(bytes);
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Sets a field of tensor `index` of the weight file: 0 name, 1 dtype, 2 shape, 3 offset, 4 length. */
const tensor =
  (index: number, field: number, value: unknown) =>
  (raw: Raw): void => {
    const entry = raw.files[1].tensors[index];
    if (entry === undefined) throw new Error('no such tensor');
    entry[field] = value;
  };

describe('the stored vectors', () => {
  test.each(['small', 'qwen3', 'tiny-calyx', 'gguf'] as const)(
    '%s reads and writes as the same bytes',
    (name) => {
      const bytes = vector(name);
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(VECTORS[name].sha256);
      expect(manifestIds(bytes)).toEqual({ digest: VECTORS[name].sha256, revision: VECTORS[name].revision });
      expect(Buffer.from(encodeManifest(decodeManifest(bytes))).equals(bytes)).toBe(true);
    },
  );

  test('are what the script computes', (context) => {
    requirePython(context);
    const run = spawnSync('python3', [join(ROOT, 'test/vectors/make-manifests.py'), '--check'], {
      encoding: 'utf8',
    });
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
  });

  test('small has the content that its script says', () => {
    const { files, map, blockCount, totalBytes } = decodeManifest(Buffer.from(small));
    expect(files.map(({ path, size }) => [path, size])).toEqual([
      ['a/empty.txt', 0],
      ['model.safetensors', 4_194_504],
      ['modèle.txt', 3],
    ]);
    expect(totalBytes).toBe(4_194_507);
    expect(blockCount).toBe(1);
    expect(map).toEqual({ blockCount: 1, embed: [2], blocks: [[0]], head: [1, 2] });
    expect(files[1]?.tensors[2]).toEqual({
      name: 'wte.weight',
      dtype: 'BF16',
      shape: [5],
      offset: 4_194_424,
      length: 10,
    });
  });

  test('bytes in the middle of a larger buffer are read', () => {
    const around = Buffer.concat([Buffer.alloc(7, 'x'), Buffer.from(small), Buffer.alloc(9, 'y')]);
    expect(decodeManifest(around.subarray(7, 7 + Buffer.byteLength(small))).blockCount).toBe(1);
  });
});

describe('decodeManifest refuses', () => {
  const cases: [string, Buffer, RegExp][] = [
    ['another format', Buffer.from(small.replace('manifest-1', 'manifest-2')), /calyx-manifest-1/],
    ['another chunk size', Buffer.from(small.replace('4194304,"files"', '4194305,"files"')), /chunkBytes/],
    ['an unknown key', Buffer.from(small.replace(/}$/, ',"x":1}')), /Unrecognized key/],
    [
      'an unknown key of a file',
      changed((raw) => Object.assign(raw.files[0], { mode: 1 })),
      /Unrecognized key/,
    ],
    ['a path outside', changed((raw) => (raw.files[0].path = '../empty.txt')), /not a path inside a model/],
    ['an absolute path', changed((raw) => (raw.files[0].path = '/etc/passwd')), /not a path inside a model/],
    ['a backslash', changed((raw) => (raw.files[0].path = 'a\\b')), /not a path inside a model/],
    ['a path with a NUL', changed((raw) => (raw.files[0].path = 'a\0b')), /not a path inside a model/],
    ['unsorted files', changed((raw) => raw.files.reverse()), /files out of order/],
    ['a file twice', changed((raw) => (raw.files[2].path = 'model.safetensors')), /files out of order/],
    [
      'a file that is a directory too',
      changed((raw) => {
        // Sorted, but with another file between the two.
        raw.files[0].path = 'm';
        raw.files[1].path = 'm-x';
        raw.files[2].path = 'm/x';
      }),
      /m is a file and a directory/,
    ],
    [
      'a blob of two sizes',
      changed((raw) => (raw.files[0].blob = raw.files[2].blob)),
      /the blob ba7816bf[0-9a-f]+ has two sizes/,
    ],
    ['a blob that is no digest', changed((raw) => (raw.files[0].blob = 'ab')), /not a SHA-256/],
    [
      'a blob in capitals',
      changed((raw) => (raw.files[0].blob = raw.files[0].blob.toUpperCase())),
      /not a SHA/,
    ],
    ['a negative size', changed((raw) => (raw.files[2].size = -1)), /impossible size/],
    ['a size of half a byte', changed((raw) => (raw.files[2].size = 2.5)), /impossible size/],
    ['a chunk digest too few', changed((raw) => (raw.files[2].chunks = '')), /too few chunk digests/],
    [
      'a size whose chunks would not fit in memory',
      changed((raw) => {
        raw.files[0].size = Number.MAX_SAFE_INTEGER;
      }),
      /too few chunk digests for its size/,
    ],
    [
      'a chunk digest too many',
      changed((raw) => (raw.files[0].chunks = raw.files[2].chunks)),
      /needs 0 chunk digests/,
    ],
    ['half a digest', changed((raw) => (raw.files[2].chunks = 'AAAA')), /needs 1 chunk digests/],
    ['a tensor before its file', changed(tensor(0, 3, -20)), /leave the file/],
    ['a tensor that leaves its file', changed(tensor(2, 3, 4_194_500)), /leave the file/],
    ['overlapping tensors', changed(tensor(2, 3, 4_194_414)), /out of order|overlap/],
    [
      'two tensors at one place',
      changed((raw) => raw.files[1].tensors.push(['z', 'U8', [1], 4_194_424, 1])),
      /overlap/,
    ],
    ['tensors out of order', changed((raw) => raw.files[1].tensors.reverse()), /tensors out of order/],
    ['an unknown dtype', changed(tensor(2, 1, 'BF17')), /unknown dtype/],
    ['a shape that does not fit', changed(tensor(2, 2, [6])), /takes 12 bytes/],
    ['a negative dimension', changed(tensor(1, 2, [-1, 0])), /impossible shape/],
    ['a tensor without a name', changed(tensor(2, 0, '')), /not usable as the name/],
    ['a tensor named __proto__', changed(tensor(2, 0, '__proto__')), /not usable as the name/],
    [
      'a tensor named __metadata__',
      changed(tensor(2, 0, '__metadata__')),
      /__metadata__.* the name of a tensor/,
    ],
    ['a name twice', changed(tensor(2, 0, 'h.0.weight')), /h\.0\.weight appears twice/],
    ['an ordinal too high', changed((raw) => (raw.parts.head = [3])), /does not exist, or one twice/],
    ['a negative ordinal', changed((raw) => (raw.parts.head = [-1])), /head/],
    ['half an ordinal', changed((raw) => (raw.parts.head = [0.5])), /head/],
    ['an ordinal twice in a block', changed((raw) => (raw.parts.blocks = [[0, 0]])), /one twice/],
    ['white space', Buffer.from(small.replace(',', ', ')), /not in canonical form/],
    ['a line end', Buffer.from(`${small}\n`), /not in canonical form/],
    [
      'keys in another order',
      Buffer.from(`{"chunkBytes":4194304,${small.slice(1).replace(/"chunkBytes":4194304,/, '')}`),
      /not in canonical form/,
    ],
    [
      'a number spelled otherwise',
      Buffer.from(small.replace('"size":3,', '"size":3.0,')),
      /not in canonical form/,
    ],
    ['a letter spelled otherwise', Buffer.from(small.replace('è', '\\u00e8')), /not in canonical form/],
    ['a key twice', Buffer.from(small.replace('"size":3,', '"size":9,"size":3,')), /not in canonical form/],
    ['base64 without its padding', Buffer.from(small.replace('AFa0=', 'AFa0')), /not in canonical form/],
    ['base64 with other characters', Buffer.from(small.replace('AFa0=', 'AFa0=.')), /not in canonical form/],
    ['a byte order mark', Buffer.from(`\ufeff${small}`), /./],
    [
      'bytes that are not UTF-8',
      Buffer.concat([Buffer.from(small.replace('modèle', 'mod')), Buffer.of(0xff)]),
      /./,
    ],
    ['nothing', Buffer.alloc(0), /./],
    ['null', Buffer.from('null'), /./],
    ['a list', Buffer.from('[]'), /./],
  ];
  test.each(cases)('%s', (_, bytes, message) => {
    expect(bytes.toString()).not.toBe(small);
    expect(problem(bytes)).toMatchObject({
      code: 'corrupt',
      message: expect.stringMatching(message) as unknown,
    });
  });

  test.each<[string, Buffer, RegExp]>([
    ['an alignment of 0', changedGguf((own) => (own.alignment = 0)), /alignment/],
    ['an alignment that takes all memory', changedGguf((own) => (own.alignment = 2 ** 30)), /alignment/],
    ['an alignment that its pairs do not tell', changedGguf((own) => (own.alignment = 64)), /contradicts the alignment 64/],
    ['a pair too many', changedGguf((own) => (own.count += 1)), /cut off/],
    ['a pair too few', changedGguf((own) => (own.count -= 1)), /is not \d+ different pairs/],
    ['endlessly many pairs', changedGguf((own) => (own.count = Number.MAX_SAFE_INTEGER)), /is not \d+ different pairs/],
    ['pairs that are none', changedGguf((own) => (own.pairs = Buffer.alloc(14, 1).toString('base64'))), /more than its 14 bytes can hold|metadata/],
    ['pairs twice', changedGguf((own) => ((own.pairs = Buffer.concat([own.pairs, own.pairs].map((text) => Buffer.from(text, 'base64'))).toString('base64')), (own.count *= 2))), /different pairs/],
    ['half a pair', changedGguf((own) => (own.furtherCount += 0.5)), /furtherCount/],
    ['more further pairs than bytes', changedGguf((own) => (own.furtherCount = 100_000)), /cannot be 100000 pairs/],
    ['metadata beyond the file', changedGguf((own) => (own.further = [[24, 2 ** 40]])), /make no sense/],
    ['metadata at a negative place', changedGguf((own) => (own.further = [[-24, 100]])), /make no sense/],
    ['empty metadata', changedGguf((own) => (own.further = [[24, 0]])), /make no sense/],
    ['metadata that overlaps', changedGguf((own) => own.further.push([30, 100])), /make no sense/],
    ['metadata among the tensors', changedGguf((own, raw) => (own.further = [[Number(raw.files[1].tensors[0]?.[3]), 100]])), /overlaps another/],
    ['a digest for another cut', changedGguf((own) => own.further.pop()), /chunk digests|cannot be/],
    ['a dtype of safetensors', changedGguf((_, raw) => ((raw.files[1].tensors[0] ?? [])[1] = 'F8_E4M3')), /unknown type "F8_E4M3"/],
    ['a name of 65 bytes', changedGguf((_, raw) => ((raw.files[1].tensors[0] ?? [])[0] = 'n'.repeat(65))), /not usable as the name/],
    ['two files with metadata', changedGguf((own, raw) => Object.assign(raw.files[0], { gguf: { ...own, furtherCount: 0, further: [] } })), /two files/],
    ['a dtype of ggml in safetensors', changed(tensor(2, 1, 'Q4_K')), /unknown dtype/],
  ])('of a GGUF model: %s', (_, bytes, message) => {
    expect(problem(bytes)).toMatchObject({ code: 'corrupt', message: expect.stringMatching(message) as unknown });
  }); // prettier-ignore

  test('every truncation', () => {
    const bytes = Buffer.from(small);
    for (let length = 0; length < bytes.byteLength; length += 1) {
      expect(problem(bytes.subarray(0, length)), `${length} bytes`).toMatchObject({ code: 'corrupt' });
    }
  });

  test('what is far too long, before it is parsed', () => {
    // Valid JSON up to its size: only the bound can refuse it.
    const huge = Buffer.alloc(MAX_MANIFEST_BYTES + 1, ' ');
    huge.write(small);
    expect(problem(huge)).toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('more than the 67108864') as unknown,
    });
  });
});

describe('decodeManifest does not spend much on', () => {
  const head = '{"format":"calyx-manifest-1","chunkBytes":4194304,"files":';
  test.each([
    [
      'a million files that are none',
      `${head}[${'1,'.repeat(1_000_000)}1],"parts":{"embed":[],"blocks":[],"head":[]}}`,
    ],
    [
      'millions of empty blocks',
      `${head}[],"parts":{"embed":[],"blocks":[${'[],'.repeat(3_000_000)}[]],"head":[]}}`,
    ],
    ['lists in lists', `${head}${'['.repeat(10_000_000)}`],
    [
      'a tensor that is in every block',
      `${head}[],"parts":{"embed":[],"blocks":[${'[0],'.repeat(400)}[0]],"head":[]}}`,
    ],
  ])('%s', (_, text) => {
    const startedAt = performance.now();
    expect(() => decodeManifest(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'corrupt' }) as Error,
    );
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
