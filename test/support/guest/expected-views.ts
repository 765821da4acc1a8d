import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** A model in a store, and what its views are made of, all of it known without the views. */
export interface ViewedModel {
  /** ORG/NAME. */
  readonly name: string;
  readonly revision: string;
  readonly blocks: number;
  /** The directory that was published. */
  readonly source: string;
  /** Directories that `calyx fetch` wrote, by the names of the slices; `0-N+embed+head` among them. */
  readonly fetched: Readonly<Record<string, string>>;
}

/** The content of every file of the three views by its path below the mount; JSON that is compared as JSON is in `json`. */
export interface ExpectedViews {
  readonly files: ReadonlyMap<string, Buffer>;
  /** Of these only the meaning is known. */
  readonly json: ReadonlyMap<string, unknown>;
}

interface SliceIndex {
  readonly weight_map: Readonly<Record<string, string>>;
}

/** What a mount must show of models; slices that are fetched but not listed are in it too. */
export function expectedViews(models: readonly ViewedModel[]): ExpectedViews {
  const files = new Map<string, Buffer>();
  const json = new Map<string, unknown>();
  for (const model of models) {
    const { name, revision, source } = model;
    const hub = `hub/models--${name.replace('/', '--')}`;
    for (const [file, content] of contents(source))
      for (const view of [`models/${name}`, `models/${name}@${revision}`, `${hub}/snapshots/${revision}`])
        files.set(`${view}/${file}`, content);
    files.set(`${hub}/refs/main`, Buffer.from(revision));
    for (const slices of [`slices/${name}`, `slices/${name}@${revision}`]) {
      for (const [slice, directory] of Object.entries(model.fetched))
        for (const [file, content] of contents(directory)) files.set(`${slices}/${slice}/${file}`, content);
      for (let block = 0; block < model.blocks; block += 1) addBlock(model, slices, block, files, json);
    }
  }
  return { files, json };
}

/** The slice of one block: its part is the one of any slice that has the block. */
function addBlock(
  { name, revision, blocks, fetched }: ViewedModel,
  slices: string,
  block: number,
  files: Map<string, Buffer>,
  json: Map<string, unknown>,
): void {
  const slice = `${String(block)}-${String(block + 1)}`;
  if (fetched[slice] !== undefined) return;
  const whole = new Map(contents(fetched[`0-${String(blocks)}+embed+head`] ?? ''));
  const part = `block-${String(block).padStart(5, '0')}.safetensors`;
  for (const [file, content] of whole)
    if (file === part || !/\.safetensors$|^slice\.json$|index\.json$/.test(file))
      files.set(`${slices}/${slice}/${file}`, content);
  const index = JSON.parse(String(whole.get('model.safetensors.index.json'))) as SliceIndex;
  const tensors = Object.entries(index.weight_map).filter(([, file]) => file === part);
  json.set(`${slices}/${slice}/model.safetensors.index.json`, { weight_map: Object.fromEntries(tensors) });
  const size = whole.get(part)?.byteLength;
  const about = { format: 'calyx-slice-1', model: name, revision, blockCount: blocks };
  json.set(`${slices}/${slice}/slice.json`, { ...about, parts: [{ file: part, size }] });
}

function contents(directory: string): [string, Buffer][] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map(({ name }) => [basename(name), readFileSync(join(directory, name))]);
}

/** The SHA-256 of bytes in hexadecimal. */
export function sha256Of(...bytes: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const piece of bytes) hash.update(piece);
  return hash.digest('hex');
}
