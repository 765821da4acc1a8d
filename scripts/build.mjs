// Compiles src, test and bench to dist/. Incremental: a second call costs a second or two.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
if (!existsSync(compiler)) {
  process.stderr.write("calyx: the compiler is not installed; run 'npm ci' first\n");
  process.exit(1);
}
const result = spawnSync(process.execPath, [compiler, '-p', root], { stdio: ['ignore', 2, 2] });
process.exit(result.status ?? 1);
