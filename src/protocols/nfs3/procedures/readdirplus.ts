import { bool, list, optional, struct, uint32, uint64, type Infer } from '../../xdr/codec.js';
import { handle3, name3, verifier3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { COOKIE_VERIFIER, ListMeter, readPage, roomBeside } from '../directory-page.js';
import { asDirectory } from '../entries.js';
import { MAX_LISTING_BYTES } from '../limits.js';
import { attributesIfAny, nodeProcedure } from '../node-procedure.js';

/** What dircount counts of an entry. */
const DIRECTORY_INFORMATION = { fileId: uint64, name: name3, cookie: uint64 };
const directoryInformation = struct(DIRECTORY_INFORMATION);

/** entryplus3. */
const entry = struct({
  ...DIRECTORY_INFORMATION,
  attributes: postOpAttributes,
  handle: optional(handle3),
});

/** READDIRPLUS3resok. */
const ok = struct({
  attributes: postOpAttributes,
  verifier: verifier3,
  entries: list(entry, MAX_LISTING_BYTES),
  eof: bool,
});

/** READDIRPLUS (RFC 1813, section 3.3.17). */
export const readdirplus = nodeProcedure({
  name: 'READDIRPLUS',
  args: struct({
    directory: handle3,
    cookie: uint64,
    verifier: verifier3,
    directoryCount: uint32,
    maxCount: uint32,
  }),
  handle: ({ directory }) => directory,
  ok,
  failed: struct({ attributes: postOpAttributes }),
  run: async ({ cookie, directoryCount, maxCount }, node, context) => {
    const directory = asDirectory(node);
    const maxBytes = Math.min(maxCount, MAX_LISTING_BYTES);
    await context.call.reserve(maxBytes);
    const head = { attributes: context.attributes, verifier: COOKIE_VERIFIER };
    // maxcount is that of the whole READDIRPLUS3resok, dircount that of the entries without attributes and handles.
    const whole = new ListMeter(entry, roomBeside(maxBytes, ok, { ...head, entries: [], eof: true }));
    const information = new ListMeter(directoryInformation, Math.min(directoryCount, MAX_LISTING_BYTES));
    const page = await readPage<Infer<typeof entry>>(
      {
        directory,
        cookie,
        item: async (placed) => ({
          ...placed,
          attributes: await attributesIfAny(placed.node),
          handle: placed.node?.handle,
        }),
        add: (item) => whole.add(item) && information.add(item),
      },
      context,
    );
    return { ...head, ...page };
  },
  failure: (attributes) => ({ attributes }),
});
