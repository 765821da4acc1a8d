import { close } from './opens/close.js';
import { delegreturn } from './opens/delegreturn.js';
import { freeStateId } from './opens/free-stateid.js';
import { lock } from './opens/lock.js';
import { lockt } from './opens/lockt.js';
import { locku } from './opens/locku.js';
import { openDowngrade } from './opens/open-downgrade.js';
import { open } from './opens/open.js';
import { testStateId } from './opens/test-stateid.js';
import type { Operation } from './operation.js';
import type { SessionCompound } from './session-compound.js';
import { backchannelCtl } from './sessions/backchannel-ctl.js';
import { bindConnToSession } from './sessions/bind-conn-to-session.js';
import { createSession } from './sessions/create-session.js';
import { destroyClientId } from './sessions/destroy-clientid.js';
import { destroySession } from './sessions/destroy-session.js';
import { exchangeId } from './sessions/exchange-id.js';
import { reclaimComplete } from './sessions/reclaim-complete.js';
import { sequence } from './sessions/sequence.js';

/** The operations on clients, sessions, open files and locks, by number: part of the dispatch table. */
export const sessionOperations: ReadonlyMap<number, Operation<SessionCompound>> = new Map([
  [4, close],
  [8, delegreturn],
  [12, lock],
  [13, lockt],
  [14, locku],
  [18, open],
  [21, openDowngrade],
  [40, backchannelCtl],
  [41, bindConnToSession],
  [42, exchangeId],
  [43, createSession],
  [44, destroySession],
  [45, freeStateId],
  [53, sequence],
  [55, testStateId],
  [57, destroyClientId],
  [58, reclaimComplete],
]);
