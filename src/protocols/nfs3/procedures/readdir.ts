import { bool, list, struct, uint32, uint64, type Infer } from '../../xdr/codec.js';
import { handle3, name3, verifier3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { COOKIE_VERIFIER, ListMeter, readPage, roomBeside } from '../directory-page.js';
import { asDirectory } from '../entries.js';
import { MAX_LISTING_BYTES } from '../limits.js';
import { nodeProcedure } from '../node-procedure.js';

/** entry3. */
const entry = struct({ fileId: uint64, name: name3, cookie: uint64 });

/** READDIR3resok. */
const ok = struct({
  attributes: postOpAttributes,
  verifier: verifier3,
  entries: list(entry, MAX_LISTING_BYTES),
  eof: bool,
});

/** READDIR (RFC 1813, section 3.3.16). */
export const readdir = nodeProcedure({
  name: 'READDIR',
  args: struct({ directory: handle3, cookie: uint64, verifier: verifier3, count: uint32 }),
  handle: ({ directory }) => directory,
  ok,
  failed: struct({ attributes: postOpAttributes }),
  run: async ({ cookie, count }, node, context) => {
    const directory = asDirectory(node);
    const maxBytes = Math.min(count, MAX_LISTING_BYTES);
    await context.call.reserve(maxBytes);
    const head = { attributes: context.attributes, verifier: COOKIE_VERIFIER };
    // The count is that of the whole READDIR3resok.
    const meter = new ListMeter(entry, roomBeside(maxBytes, ok, { ...head, entries: [], eof: true }));
    const page = await readPage<Infer<typeof entry>>(
      {
        directory,
        cookie,
        item: (placed) => placed,
        add: (item) => meter.add(item),
      },
      context,
    );
    return { ...head, ...page };
  },
  failure: (attributes) => ({ attributes }),
});
