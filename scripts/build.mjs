// Compiles src to dist/; with --all also tests and benchmarks. Incremental: a second call costs a second or two.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
if (!existsSync(compiler)) {
  process.stderr.write("calyx: the compiler is not installed; run 'npm ci' first\n");
  process.exit(1);
}
const project = process.argv.includes('--all') ? 'tsconfig.json' : 'tsconfig.build.json';
if (!existsSync(`${root}dist/src/cli/main.js`)) {
  process.stderr.write('calyx: building once...\n');
  // Without its output, the compiler's record of what is up to date is wrong.
  rmSync(`${root}dist`, { recursive: true, force: true });
}
const result = spawnSync(process.execPath, [compiler, '-p', `${root}${project}`], {
  stdio: ['ignore', 2, 2],
});
process.exit(result.status ?? 1);
