import { createHash } from 'node:crypto';
import { CalyxError } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import type { PartId } from '../../weights/parts.js';
import type { SliceSpec } from '../slice-spec.js';
import type { ResolvedRevision } from '../catalog-reader.js';

/** The views of a catalog. */
export type View = 'models' | 'hub' | 'slices';

/** Eight bytes that name an organisation or a model, in hex. */
export type NameKey = string;

/**
 * Twenty bytes that name a revision, in hex: twelve of its id, then eight of its manifest's digest. The id finds it; the digest
 * proves that the files have the same order as where the handle was made.
 */
export type RevisionKey = string;

/** A revision of a model. */
export interface RevisionName {
  readonly model: NameKey;
  readonly revision: RevisionKey;
}

/**
 * What a handle says. Nothing of it must be remembered: whoever has the same catalog finds the same node. Files of a revision and
 * parts have one handle wherever they stand, so that a client which reads them under several paths keeps them once;
 * directories have one for each path, because a client takes two paths to one directory for a loop.
 */
export type NodeName =
  | { readonly kind: 'root' }
  | { readonly kind: 'view'; readonly view: View }
  | { readonly kind: 'organisation'; readonly view: View; readonly organisation: NameKey }
  /** `NAME`, which follows the ref. */
  | { readonly kind: 'current'; readonly view: View; readonly model: NameKey }
  /** `NAME@REVISION`, or a snapshot. */
  | ({ readonly kind: 'pinned'; readonly view: View } & RevisionName)
  /** A directory inside a revision: that of the first file below it, so many levels deep. */
  | ({
      readonly kind: 'folder';
      readonly view: View;
      readonly followed: boolean;
      readonly file: number;
      readonly depth: number;
    } & RevisionName)
  | ({ readonly kind: 'file'; readonly file: number } & RevisionName)
  | ({ readonly kind: 'slice'; readonly followed: boolean; readonly spec: SliceSpec } & RevisionName)
  | ({ readonly kind: 'part'; readonly part: PartId } & RevisionName)
  | ({ readonly kind: 'slice-index' | 'slice-about'; readonly spec: SliceSpec } & RevisionName)
  | { readonly kind: 'hub-model' | 'hub-refs' | 'hub-snapshots'; readonly model: NameKey }
  /** A file that holds the id of a revision. */
  | ({ readonly kind: 'hub-ref' } & RevisionName);

type Kind = NodeName['kind'];

/** Of the first form of handles. Another one must not be taken for it. */
const VERSION = 1;
const HANDLE_BYTES = 44;

const KINDS: readonly Kind[] = [
  'root',
  'view',
  'organisation',
  'current',
  'pinned',
  'folder',
  'file',
  'slice',
  'part',
  'slice-index',
  'slice-about',
  'hub-model',
  'hub-refs',
  'hub-snapshots',
  'hub-ref',
];
const VIEWS: readonly View[] = ['models', 'hub', 'slices'];

const FOLLOWED = 0x10;
const EMBED = 0x20;
const HEAD = 0x40;

// Where the fields stand: version, kind, flags with the view in the low bits, depth; two numbers; an unused one; model; revision.
const AT = { kind: 1, flags: 2, depth: 3, first: 4, second: 8, model: 16, revision: 24 } as const;
const NAME_KEY_BYTES = 8;
const REVISION_ID_BYTES = 12;
const REVISION_KEY_BYTES = 20;

/** The key of an organisation or a model. */
export function nameKey(name: string | ModelName): NameKey {
  const text = typeof name === 'string' ? name : formatModelName(name);
  return createHash('sha256')
    .update(text)
    .digest('hex')
    .slice(0, 2 * NAME_KEY_BYTES);
}

/** The key of a revision. */
export function revisionKey({ revision, manifestDigest }: ResolvedRevision): RevisionKey {
  return (
    revision.slice(0, 2 * REVISION_ID_BYTES) +
    manifestDigest.slice(0, 2 * (REVISION_KEY_BYTES - REVISION_ID_BYTES))
  );
}

/** True if `revision` may be the id of the one that a key names. */
export function mayBeRevision(key: RevisionKey, revision: string): boolean {
  return revision.startsWith(key.slice(0, 2 * REVISION_ID_BYTES));
}

/** The handle of a node: 44 bytes. */
export function encodeHandle(name: NodeName): Uint8Array {
  const bytes = Buffer.alloc(HANDLE_BYTES);
  bytes[0] = VERSION;
  bytes[AT.kind] = KINDS.indexOf(name.kind);
  let flags = 'view' in name ? VIEWS.indexOf(name.view) : 0;
  if ('followed' in name && name.followed) flags |= FOLLOWED;
  if ('spec' in name) {
    flags |= (name.spec.embed ? EMBED : 0) | (name.spec.head ? HEAD : 0);
    bytes.writeUInt32BE(name.spec.blocks.start, AT.first);
    bytes.writeUInt32BE(name.spec.blocks.end, AT.second);
  }
  if ('part' in name) {
    flags |= name.part === 'embed' ? EMBED : name.part === 'head' ? HEAD : 0;
    if (typeof name.part === 'number') bytes.writeUInt32BE(name.part, AT.first);
  }
  if ('file' in name) bytes.writeUInt32BE(name.file, AT.first);
  if ('depth' in name) bytes[AT.depth] = name.depth;
  if ('organisation' in name) bytes.write(name.organisation, AT.model, 'hex');
  if ('model' in name) bytes.write(name.model, AT.model, 'hex');
  if ('revision' in name) bytes.write(name.revision, AT.revision, 'hex');
  bytes[AT.flags] = flags;
  return bytes;
}

/**
 * What a handle says.
 *
 * @throws CalyxError `usage` unless it is one that {@link encodeHandle} makes
 */
export function decodeHandle(handle: Uint8Array): NodeName {
  const bytes = Buffer.from(handle.buffer, handle.byteOffset, handle.byteLength);
  const name = bytes.byteLength === HANDLE_BYTES && bytes[0] === VERSION ? readName(bytes) : undefined;
  // Encoding it again shows that nothing stands where nothing should.
  if (name !== undefined && bytes.equals(encodeHandle(name))) return name;
  throw new CalyxError('usage', 'this is no handle of a store', {
    hint: 'the client may have mounted another server before: mount again',
  });
}

function readName(bytes: Buffer): NodeName | undefined {
  const kind = KINDS[bytes[AT.kind] ?? -1];
  const flags = bytes[AT.flags] ?? 0;
  const view = VIEWS[flags & 0x0f];
  if (kind === undefined || view === undefined) return undefined;
  const followed = (flags & FOLLOWED) !== 0;
  const [embed, head] = [(flags & EMBED) !== 0, (flags & HEAD) !== 0];
  const first = bytes.readUInt32BE(AT.first);
  const spec = { blocks: { start: first, end: bytes.readUInt32BE(AT.second) }, embed, head };
  const model = bytes.toString('hex', AT.model, AT.model + NAME_KEY_BYTES);
  const revision = bytes.toString('hex', AT.revision, AT.revision + REVISION_KEY_BYTES);
  switch (kind) {
    case 'root':
      return { kind };
    case 'view':
      return { kind, view };
    case 'organisation':
      return { kind, view, organisation: model };
    case 'current':
      return { kind, view, model };
    case 'pinned':
      return { kind, view, model, revision };
    case 'folder':
      return { kind, view, followed, file: first, depth: bytes[AT.depth] ?? 0, model, revision };
    case 'file':
      return { kind, file: first, model, revision };
    case 'slice':
      return { kind, followed, spec, model, revision };
    case 'part':
      return { kind, part: embed ? 'embed' : head ? 'head' : first, model, revision };
    case 'slice-index':
    case 'slice-about':
      return { kind, spec, model, revision };
    case 'hub-model':
    case 'hub-refs':
    case 'hub-snapshots':
      return { kind, model };
    case 'hub-ref':
      return { kind, model, revision };
  }
}
