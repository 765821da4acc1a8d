import { rmSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatSize } from '../../src/core/units.js';
import { tensorBytes, writeCheckpoint, writeRandomBytes, type CheckpointSpec } from './checkpoint.js';

/** Where benchmarks keep what is costly to make. */
export class Workspace {
  readonly path: string;
  readonly #keep: boolean;
  readonly #note: (text: string) => void;
  #closed = false;

  /** In `CALYX_BENCH_DIR`, else in the system's directory for temporary files; `CALYX_BENCH_KEEP` keeps it. */
  constructor(note: (text: string) => void) {
    this.path = join(process.env['CALYX_BENCH_DIR'] ?? tmpdir(), 'calyx-bench');
    this.#keep = Boolean(process.env['CALYX_BENCH_KEEP']);
    this.#note = note;
    process.once('exit', () => this.close());
  }

  /** The path of `name` in it. */
  at(name: string): string {
    return join(this.path, name);
  }

  /** The directory of a checkpoint, made now unless an earlier run has left it. */
  async checkpoint(
    name: string,
    make: (onBytes: (bytes: number) => void) => CheckpointSpec,
  ): Promise<string> {
    const directory = this.at(name);
    const fingerprint = JSON.stringify(make(() => undefined));
    if ((await readFile(join(directory, '.spec'), 'utf8').catch(() => '')) === fingerprint) return directory;
    await rm(directory, { recursive: true, force: true });
    const growing = `${directory}.growing`;
    await rm(growing, { recursive: true, force: true });
    const total = make(() => undefined).tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
    let done = 0;
    let told = 0;
    const spec = make((bytes) => {
      done += bytes;
      if (done - told < total / 4) return;
      told = done;
      this.#note(`  ${formatSize(done)} of ${formatSize(total)}`);
    });
    this.#note(`making up a checkpoint of ${formatSize(total)} in ${directory}`);
    await writeCheckpoint(growing, spec);
    await writeFile(join(growing, '.spec'), fingerprint);
    await rename(growing, directory);
    return directory;
  }

  /** A file of `length` random bytes under `name`. */
  async randomFile(name: string, length: number): Promise<string> {
    const path = this.at(name);
    if ((await stat(path).catch(() => undefined))?.size === length) return path;
    await mkdir(join(path, '..'), { recursive: true });
    await rm(path, { force: true });
    const file = await open(`${path}.growing`, 'w');
    try {
      await writeRandomBytes(file, 0, length, name);
    } finally {
      await file.close();
    }
    await rename(`${path}.growing`, path);
    return path;
  }

  /** Removes it, unless it is to be kept. Called at the end of the process at the latest. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#keep) this.#note(`kept ${this.path}`);
    else rmSync(this.path, { recursive: true, force: true });
  }
}
