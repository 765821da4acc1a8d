import { chooseMeasured, type SettingChoice } from './choose-smallest.js';
import { kernelAtLeast, type ClientFacts, type LinkFacts, type NfsVersion } from './client-facts.js';
import { speedOf, type Measurement } from './measurement.js';

/** One TCP connection fills a link of this speed; above it, one core or one queue of the card can become the bound. */
const ONE_CONNECTION_MBIT = 2_500;
/** For links whose speed is unknown or higher, when nothing was measured. */
const SOME_CONNECTIONS = 4;

/** How many TCP connections the mount should have: the fewest that reach what more of them do. */
export function chooseConnections(
  facts: ClientFacts,
  link: LinkFacts,
  version: NfsVersion,
  results: readonly Measurement[],
): SettingChoice {
  // Since Linux 5.3.
  if (!kernelAtLeast(facts.kernel, 5, 3))
    return { value: 1, why: `Linux ${facts.kernel} has no nconnect`, speeds: [] };
  const speeds = results
    .filter(
      ({ trial, rounds }) =>
        trial.by === 'mount' && trial.version === version && trial.reads === 'stream' && rounds.length > 0,
    )
    .map((measurement) => ({ value: measurement.trial.connections, bytesPerSecond: speedOf(measurement) }));
  const measured = chooseMeasured(speeds, 'the fewest connections that reach the fastest');
  if (measured !== undefined) return measured;
  if (link.loopback) return { value: 1, why: 'the store is on this machine', speeds };
  if (link.speedMbit !== undefined && link.speedMbit <= ONE_CONNECTION_MBIT)
    return { value: 1, why: `one connection fills a link of ${link.speedMbit} Mbit/s`, speeds };
  const speed =
    link.speedMbit === undefined ? 'a link of unknown speed' : `a link of ${link.speedMbit} Mbit/s`;
  return {
    value: SOME_CONNECTIONS,
    why: `not measured; on ${speed} one connection can be bound by one core of either side`,
    speeds,
  };
}
