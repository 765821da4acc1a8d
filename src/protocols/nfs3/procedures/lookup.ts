import { struct } from '../../xdr/codec.js';
import { entryOf, handle3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { asDirectory, entryName, entryNamed } from '../entries.js';
import { attributesIfAny, nodeProcedure } from '../node-procedure.js';
import { NFS3, Nfs3Error } from '../status.js';

/** LOOKUP (RFC 1813, section 3.3.3). */
export const lookup = nodeProcedure({
  name: 'LOOKUP',
  args: struct({ what: entryOf }),
  handle: ({ what }) => what.directory,
  ok: struct({ object: handle3, attributes: postOpAttributes, directoryAttributes: postOpAttributes }),
  failed: struct({ directoryAttributes: postOpAttributes }),
  run: async ({ what }, node, { attributes: directoryAttributes }) => {
    const directory = asDirectory(node);
    const found = await entryNamed(directory, entryName(what.name));
    if (found === undefined) throw new Nfs3Error(NFS3.NOENT);
    return { object: found.handle, attributes: await attributesIfAny(found), directoryAttributes };
  },
  failure: (directoryAttributes) => ({ directoryAttributes }),
});
