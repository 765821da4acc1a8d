import type { Advised } from '../app/advise/advise.js';
import { formatSize } from '../core/units.js';
import { NFS_VERSIONS } from '../placement/mount-advice/client-facts.js';
import { formatSpeed, median, speedOf, type Measurement } from '../placement/mount-advice/measurement.js';
import { note, print, printTable } from './terminal.js';

/** Prints what was found and what to do. */
export function printAdvice(advised: Advised): void {
  printFacts(advised);
  const { measurements, advice } = advised;
  if (measurements.results.length > 0) {
    print('');
    if (measurements.file !== undefined)
      print(
        `reading ${measurements.file.path} (${formatSize(measurements.file.bytes)}), medians of all rounds:`,
      );
    printTable(
      ['version', 'by', 'connections', 'read-ahead', 'reads', 'speed', 'rounds', 'stat/s'],
      measurements.results.map(row),
      [2, 3, 5, 7],
    );
  }
  for (const { version, reason } of measurements.failed) print(`${version} failed: ${reason}`);
  print('');
  print(`use version ${advice.version.version}: ${advice.version.why}`);
  print('');
  printTable(
    ['setting', 'why'],
    [
      ...advice.options.map(({ option, why }) => [option, why]),
      [`read_ahead_kb=${advice.readAheadKb.value}`, advice.readAheadKb.why],
    ],
  );
  print('');
  print('as root:');
  for (const command of advice.commands) print(`  ${command}`);
  for (const warning of advice.warnings) note(`note: ${warning}`);
}

function printFacts({ client, link, store }: Advised): void {
  const { modules, tls } = client;
  const speed = link.speedMbit === undefined ? 'of unknown speed' : `${link.speedMbit} Mbit/s`;
  const offered = NFS_VERSIONS.filter((version) => store.versions[version] !== 'no');
  print(
    `store    ${link.address}, versions ${offered.join(', ')}${store.privilegedPorts === 'yes' ? ', privileged ports only' : ''}${store.tls === 'no' ? '' : `, TLS ${store.tls}`}`,
  );
  print(
    `way      ${link.interface ?? 'unknown interface'}${link.loopback ? ' (this machine)' : `, ${speed}, MTU ${link.mtu ?? 'unknown'}`}; connect ${milliseconds(link.connectMs)}, round trip ${milliseconds(link.roundTripMs)}`,
  );
  print(
    `client   Linux ${client.kernel}, ${client.cores} cores; nfs ${modules.nfs}, nfsv3 ${modules.nfsv3}, nfsv4 ${modules.nfsv4}; mount.nfs ${client.mountHelper ? 'there' : 'missing'}; READ_PLUS ${client.readPlus}, TLS ${tls.kernel}${tls.tlshd ? '' : ' (no tlshd)'}; may ${client.mayMount ? '' : 'not '}mount`,
  );
}

function milliseconds(value: number): string {
  return `${value.toFixed(2)} ms`;
}

function row(measurement: Measurement): string[] {
  const { trial, rounds, attributeRounds } = measurement;
  const attributes = median(attributeRounds);
  return [
    trial.version,
    trial.by,
    String(trial.connections),
    trial.readAheadKb === undefined ? '' : `${trial.readAheadKb} KiB`,
    trial.reads === 'stream' ? 'large' : '128 KiB',
    formatSpeed(speedOf(measurement)),
    rounds.map((each) => Math.round(each / 1e6)).join(' '),
    attributes === undefined ? '' : String(Math.round(attributes)),
  ];
}
