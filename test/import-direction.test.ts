import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

// The rooms of ARCHITECTURE.md. A room imports from itself and from rooms of a lower tier; those of one tier don't know
// each other.
const TIERS: Readonly<Record<string, number>> = {
  core: 0,
  weights: 1,
  storage: 1,
  catalog: 2,
  protocols: 3,
  cluster: 3,
  placement: 3,
  inference: 3,
  app: 4,
  cli: 5,
};

/** What the implementations of the byte-reading port may know besides core: the port, and tools that implement no port. */
const STORAGE_PORT = /^storage\/(?:[^/]+\.ts$|http\/)/;
/** A cache of several modules has a folder of its own, whose modules know each other and what keeps files. */
const STORAGE_CACHE = /^storage\/caches\/[^/]+\//;

const STORAGE_IMPLEMENTATIONS = /^storage\/(?:sources|caches|layers)\//;

/** Modules that do I/O; core does none. */
const IO_MODULES =
  /^(?:node:)?(?:fs|net|http|https|http2|dgram|dns|tls|child_process|worker_threads|cluster|readline|repl|inspector)(?:\/|$)/;

/** Sources by their path below src, with `/`. */
type Sources = ReadonlyMap<string, string>;

interface Facts {
  /** Everything that is imported, statically, dynamically or as a type. */
  readonly imports: readonly string[];
  /** Programs that are named by a URL relative to the module: those of workers and processes. */
  readonly programs: readonly string[];
  /** Exported classes. */
  readonly classes: readonly string[];
  /** Names after `new`. */
  readonly constructed: readonly string[];
}

function readFacts(path: string, text: string): Facts {
  const imports: string[] = [];
  const programs: string[] = [];
  const classes: string[] = [];
  const constructed: string[] = [];
  const visit = (node: ts.Node): void => {
    const literal = (candidate: ts.Node | undefined): void => {
      if (candidate === undefined) return;
      if (ts.isStringLiteralLike(candidate)) imports.push(candidate.text);
      else throw new Error(`${path}: an import that is not a literal cannot be checked: ${candidate.getText()}`);
    };
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) literal(node.moduleSpecifier);
    else if (ts.isImportTypeNode(node)) literal(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) literal(node.arguments[0]);
    else if (ts.isClassDeclaration(node) && node.name !== undefined) classes.push(node.name.text);
    else if (ts.isNewExpression(node)) {
      constructed.push(node.expression.getText());
      const [file, base] = node.arguments ?? [];
      if (node.expression.getText() === 'URL' && base?.getText() === 'import.meta.url' && file !== undefined) {
        if (ts.isStringLiteralLike(file) && /\.[cm]?[jt]s$/.test(file.text)) programs.push(file.text);
      }
    }
    ts.forEachChild(node, visit);
  }; // prettier-ignore
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return { imports, programs, classes, constructed };
}

/** All that is wrong with the imports of `sources`, one line for each. */
function findViolations(sources: Sources): string[] {
  const violations: string[] = [];
  const facts = new Map([...sources].map(([path, text]) => [path, readFacts(path, text)]));
  const concrete = new Set(
    [...facts].flatMap(([path, { classes }]) =>
      STORAGE_IMPLEMENTATIONS.test(path)
        ? classes.filter((name) => /(?:Source|Cache|Layer)$/.test(name))
        : [],
    ),
  );
  for (const [path, { imports, programs, classes, constructed }] of facts) {
    const room = path.split('/')[0] ?? '';
    const wrong = (what: string): void => void violations.push(`${path} ${what}`);
    if (TIERS[room] === undefined) {
      wrong('lies in no room');
      continue;
    }
    for (const specifier of [...imports, ...programs]) {
      if (!specifier.startsWith('.')) {
        if (room === 'core' && IO_MODULES.test(specifier)) wrong(`imports ${specifier}, but core does no I/O`);
        continue;
      }
      const target = relative('/src', resolve('/src', dirname(path), specifier)).replace(/\.js$/, '.ts');
      // The command in bin/ is not a module of ours; it may be started.
      if (target.startsWith('../') && programs.includes(specifier)) continue;
      if (!sources.has(target)) {
        wrong(`imports ${target}, which is not in src`);
        continue;
      }
      const other = target.split('/')[0] ?? '';
      if (room !== other && (TIERS[other] ?? Infinity) >= (TIERS[room] ?? 0)) wrong(`imports ${target}, which is not below it`);
      const folder = STORAGE_CACHE.exec(path)?.[0];
      if (folder !== undefined && (target.startsWith(folder) || target.startsWith('storage/files/'))) continue;
      if (STORAGE_IMPLEMENTATIONS.test(path) && other !== 'core' && !STORAGE_PORT.test(target))
        wrong(`imports ${target}, but a source, cache or layer knows only core and the port`);
    }
    if (room === 'app') continue;
    for (const name of constructed)
      // A class that must open files first constructs itself.
      if (concrete.has(name) && !classes.includes(name)) wrong(`constructs ${name}; only app/ constructs concrete classes`);
  } // prettier-ignore
  return violations;
}

/** Seen from dist/test, where this runs. Unit tests may construct and import what they need. */
function readSources(): Sources {
  const root = fileURLToPath(new URL('../../src/', import.meta.url));
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'));
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

describe('imports', () => {
  const sources = readSources();

  it('point down', () => {
    expect(findViolations(sources)).toEqual([]);
  });

  it('were found at all', () => {
    expect(sources.size).toBeGreaterThan(40);
    const all = [...sources].flatMap(([path, text]) => readFacts(path, text).imports);
    expect(all.filter((specifier) => specifier.endsWith('core/errors.js')).length).toBeGreaterThan(20);
  });

  it.each([
    ['core/x.ts', "import { z } from '../weights/tensor.js';", 'which is not below it'],
    ['core/x.ts', "import type { T } from '../weights/tensor.js';", 'which is not below it'],
    ['core/x.ts', "import { readFile } from 'node:fs/promises';", 'core does no I/O'],
    ['core/x.ts', "import net from 'net';", 'core does no I/O'],
    ['weights/x.ts', "export { s } from '../storage/byte-source.js';", 'which is not below it'],
    ['storage/x.ts', "import '../weights/tensor.js';", 'which is not below it'],
    ['catalog/x.ts', "const m = await import('../cli/main.js');", 'cli/main.ts, which is not below it'],
    ['catalog/x.ts', "new Worker(new URL('../app/work.js', import.meta.url));", 'app/work.ts, which is not below it'],
    ['catalog/x.ts', "type T = import('../app/work.js').T;", 'app/work.ts, which is not below it'],
    ['catalog/deep/er/x.ts', "import '../../../app/work.js';", 'app/work.ts, which is not below it'],
    ['inference/x.ts', "import '../cluster/y.js';", 'cluster/y.ts, which is not below it'],
    ['app/x.ts', "export * from '../cli/main.js';", 'cli/main.ts, which is not below it'],
    ['storage/layers/x.ts', "import '../sources/http-source.js';", 'knows only core and the port'],
    ['storage/layers/x.ts', "import './other.js';", 'knows only core and the port'],
    ['storage/sources/x.ts', "import '../files/durable.js';", 'knows only core and the port'],
    ['storage/caches/disk/x.ts', "import '../../sources/http-source.js';", 'knows only core and the port'],
    ['storage/caches/disk/x.ts', "import '../other/y.js';", 'knows only core and the port'],
    ['storage/caches/x.ts', "import '../files/durable.js';", 'knows only core and the port'],
    ['catalog/x.ts', "import { HttpSource } from '../storage/sources/http-source.js'; new HttpSource();", 'constructs HttpSource'],
    ['elsewhere/x.ts', '', 'lies in no room'],
    ['cli/x.ts', "import '../../test/x.js';", '../test/x.ts, which is not in src'],
    ['cli/x.ts', "import '../catalog/none.js';", 'catalog/none.ts, which is not in src'],
  ])('that are planted wrong are found: %s with %s', (path, text, says) => {
    const planted = new Map([
      ['weights/tensor.ts', ''],
      ['storage/byte-source.ts', ''],
      ['storage/files/durable.ts', ''],
      ['storage/layers/other.ts', ''],
      ['storage/caches/disk/own.ts', "import './part.js'; import '../../files/durable.js';"],
      ['storage/caches/disk/part.ts', "import '../../byte-source.js';"],
      ['storage/caches/other/y.ts', ''],
      ['storage/sources/http-source.ts', "import '../byte-source.js'; export class HttpSource {}"],
      ['cluster/y.ts', "import '../catalog/z.js';"],
      ['catalog/z.ts', "import '../weights/tensor.js'; import '../storage/files/durable.js';"],
      ['app/work.ts', "import { HttpSource } from '../storage/sources/http-source.js'; new HttpSource();"],
      ['cli/main.ts', "import '../app/work.js'; // import '../nowhere.js'"],
    ]);
    expect(findViolations(planted)).toEqual([]);
    planted.set(path, text);
    const violations = findViolations(planted);
    expect(violations).toHaveLength(1);
    expect(violations[0]).toContain(`${path} `);
    expect(violations[0]).toContain(says);
  }); // prettier-ignore
});
