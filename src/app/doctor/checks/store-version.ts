import type { AddressFacts } from '../facts/address-facts.js';
import { note, ok, warning, type Verdict } from '../finding.js';

/** Whether what the stores run goes with what runs here: `major.minor` must be the same. */
export function checkVersions(own: string, addresses: readonly AddressFacts[]): Verdict[] {
  return addresses.flatMap(({ server, version }) =>
    version === undefined ? [] : [compareVersions(own, server, version)],
  );
}

/** @param version null if it does not tell */
export function compareVersions(own: string, server: string, version: string | null): Verdict {
  if (version === null)
    return note(`${server} does not tell its version, and so is older than this one (${own})`);
  if (version === own) return ok(`${server} runs the same version, ${own}`);
  const message = `${server} runs Calyx ${version}, this is ${own}`;
  return majorMinor(version) === majorMinor(own)
    ? ok(`${message}: they go together`)
    : warning(message, 'bring both to the same version, the store first');
}

function majorMinor(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}
