import { struct } from '../../xdr/codec.js';
import { handle3, path3 } from '../arguments3.js';
import { postOpAttributes } from '../attributes3.js';
import { nodeProcedure } from '../node-procedure.js';
import { NFS3, Nfs3Error } from '../status.js';

/** READLINK (RFC 1813, section 3.3.5): there are no symbolic links. */
export const readlink = nodeProcedure({
  name: 'READLINK',
  args: struct({ link: handle3 }),
  handle: ({ link }) => link,
  ok: struct({ attributes: postOpAttributes, target: path3 }),
  failed: struct({ attributes: postOpAttributes }),
  run: () => {
    throw new Nfs3Error(NFS3.INVAL);
  },
  failure: (attributes) => ({ attributes }),
});
