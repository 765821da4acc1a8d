import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const PAGES = [
  'README.md',
  'README.zh-CN.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'docs/cli.md',
  'docs/formats.md',
  'docs/hub.md',
  'docs/nfs-conformance.md',
  'docs/nfs.md',
  'docs/origin.md',
  'docs/performance.md',
  'docs/revisions.md',
  'docs/security.md',
  'docs/sources.md',
];

describe('docs', () => {
  it('docs/cli.md is what the commands say of themselves', () => {
    const { stdout } = spawnSync(process.execPath, [join(root, 'scripts/cli-docs.mjs')], {
      encoding: 'utf8',
    });
    expect(read('docs/cli.md'), 'run: node scripts/cli-docs.mjs > docs/cli.md').toBe(stdout);
  });

  it.each(PAGES)('%s links to pages that exist', (page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? '');
    for (const link of links) expect(existsSync(join(root, dirname(page), link)), link).toBe(true);
  });

  it('both READMEs show the same commands', () => {
    const commands = (page: string): string[] =>
      [...read(page).matchAll(/```sh\n([\s\S]*?)```/g)].flatMap((block) =>
        (block[1] ?? '')
          .split('\n')
          .map((line) => line.replace(/\s*#.*/, '').trim())
          .filter((line) => line !== ''),
      );
    expect(commands('README.zh-CN.md').map(withoutPrompt)).toEqual(commands('README.md').map(withoutPrompt));
  });
});

/** The question to the model may be in the reader's language. */
function withoutPrompt(command: string): string {
  return command.replace(/"[^"]*"/, '""');
}
