import type { AddressFacts, AddressFailure } from '../facts/address-facts.js';
import { note, ok, problem, type Verdict } from '../finding.js';

/** What a failure says of a server, and the way out. */
type Explanation = readonly [message: string, wayOut: string];

const JOIN = "join again with a line of 'calyx token create'";

const FAILURES: Readonly<Record<AddressFailure, Explanation>> = {
  'no-name': [
    'its name is not known here',
    'check the spelling and the name service (getent hosts NAME), or join with the address in numbers',
  ],
  'no-route': [
    'there is no way to it',
    'check that both machines are on the network (ip route get ADDRESS), and what a firewall lets through',
  ],
  refused: [
    'the machine is there, but nothing listens on this port',
    'start the store there: calyx store --listen HOST:PORT; or check the port',
  ],
  silent: [
    'it does not answer in time',
    'check that the machine is up, and that no firewall drops what is sent to this port',
  ],
  'cut-off': [
    'it ends the connection without an answer',
    'check the log of the store; something between may also cut connections',
  ],
  'no-tls': [
    'what listens there does not speak TLS',
    'check the port; if the store asks nobody, it is asked at http://HOST:PORT, or start it with --tls',
  ],
  'wants-tls': [
    'it seems to speak TLS, and was asked without',
    "it is asked at https://HOST:PORT, after its cluster was joined: calyx join '...'",
  ],
  'no-handshake': [
    'no TLS connection comes about',
    'check that what listens there is a store, of a version that goes with this one',
  ],
  'other-identity': [
    'another identity than that of the cluster answers there; nothing was sent',
    `check the address; if the store has a new identity, ${JOIN}; if neither, somebody may be between you and the store`,
  ],
  'not-a-store': [
    'it is of this cluster, but not a store; nothing was sent',
    'check the address, above all its port',
  ],
  expired: [
    'its certificate is over, by this clock; nothing secret was sent',
    'see what is said of the clock; a store makes a new certificate when it is started again',
  ],
  'not-yet-valid': [
    'its certificate is not good yet, by this clock; nothing secret was sent',
    'see what is said of the clock: this one may be late',
  ],
  'not-joined': [
    'it is not known by what to recognise it, because no cluster was joined',
    "calyx join '...', with the line that 'calyx token create' prints on the store",
  ],
  plain: [
    'the token would be sent to it for everyone on the way to read; nothing was sent',
    'write https:// before the address',
  ],
  'no-answer': ['what answers there is not a store of Calyx', 'check the address, above all its port'],
};

/**
 * Whether the addresses answer, and if not, at which stage they fail.
 *
 * @param asked false if nobody named them: then there need not be a store
 */
export function checkReach(addresses: readonly AddressFacts[], asked: boolean): Verdict[] {
  return addresses.map(({ server, failure, certificate }) => {
    if (failure === undefined)
      return ok(
        `${server} answers${certificate === undefined ? '' : ', and has proven to be a store of the cluster'}`,
      );
    const [message, wayOut] = FAILURES[failure.kind];
    if (!asked)
      return note(
        `no cluster was joined, and nobody said where a store is; at ${server}: ${message}`,
        "calyx join '...', with the line that 'calyx token create' prints on the store",
      );
    return problem(`${server}: ${message} (${failure.detail})`, wayOut);
  });
}
