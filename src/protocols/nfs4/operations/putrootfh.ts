import { nothing } from '../../xdr/codec.js';
import { operation, type Operation } from '../operation.js';
import { setCurrent } from './current.js';

/** PUTROOTFH (RFC 8881, section 18.21). */
export const putrootfh = rootOperation('PUTROOTFH');

/** PUTPUBFH (RFC 8881, section 18.20): the public filehandle is the root. */
export const putpubfh = rootOperation('PUTPUBFH');

function rootOperation(name: string): Operation {
  return operation({
    name,
    args: nothing,
    result: nothing,
    handle: (_, compound) => {
      setCurrent(compound, compound.tree.root);
      return undefined;
    },
  });
}
