import { print, printJson, printTable } from '../../src/cli/terminal.js';
import { formatSize } from '../../src/core/units.js';
import { describeMachine, median } from './machine.js';
import type { NfsCase } from './nfs-cases.js';
import type { NfsServer } from './nfs-servers.js';

type ServerName = NfsServer['name'];

/** What a server took for each round of a case. */
export interface Spent {
  readonly seconds: number[];
  /** User and system time of the server. */
  readonly cpuSeconds: number[];
}

/** A case and what was measured. */
export interface MeasuredCase extends Pick<NfsCase, 'name' | 'bytes'> {
  readonly spent: Partial<Record<ServerName, Spent>>;
}

/** A whole run. */
export interface NfsRun {
  readonly rounds: number;
  readonly guestKernel: string;
  /** Load of the machine (1 minute) before and after: other work that took its share. */
  readonly load: readonly [number, number];
  readonly fileBytes: number;
  readonly cases: readonly MeasuredCase[];
  readonly peakBytes: Readonly<Record<ServerName, number>>;
}

const GIB = 2 ** 30;

/** Prints a run as a table, or as JSON. */
export function reportNfs(run: NfsRun, json: boolean): void {
  const machine = describeMachine();
  const cases = run.cases.map(summary);
  if (json) {
    printJson({ machine, ...run, cases });
    return;
  }
  const { cpu, cores, memoryBytes, system, node } = machine;
  print(`${cpu}, ${cores} cores, ${formatSize(memoryBytes)} of memory, ${system}, Node ${node}`);
  print(
    `guest: Linux ${run.guestKernel}; load ${run.load.map((load) => load.toFixed(1)).join(' before, ')} after`,
  );
  print(
    `${formatSize(run.fileBytes)}, ${run.rounds} rounds, medians; ratio of the times, below 1 calyx is faster`,
  );
  print('');
  printTable(
    ['client', 'calyx', 'ganesha', 'ratio', 'CPU s calyx', 'ganesha'],
    cases.map(({ name, bytes, calyx, ganesha, ratio }) => [
      name,
      ...[calyx, ganesha].map((server) => speed(server?.medianSeconds, bytes)),
      ratio?.toFixed(2) ?? '',
      ...[calyx, ganesha].map((server) => server?.cpuSeconds.toFixed(2) ?? ''),
    ]),
    [1, 2, 3, 4, 5],
  );
  print('');
  print('CPU s: user and system time of the server for each GiB, or for each time');
  print(
    `highest memory: calyx ${formatSize(run.peakBytes.calyx)}, ganesha ${formatSize(run.peakBytes.ganesha)}`,
  );
}

function speed(seconds: number | undefined, bytes: number | undefined): string {
  if (seconds === undefined) return '';
  return bytes === undefined ? `${seconds.toFixed(2)} s` : `${(bytes / 1e6 / seconds).toFixed(0)} MB/s`;
}

/** What is told of a case. CPU time is for each GiB, or for each time if it is not about bytes. */
function summary({ name, bytes, spent }: MeasuredCase) {
  const of = (server: ServerName) => {
    const measured = spent[server];
    if (measured === undefined) return undefined;
    const { seconds } = measured;
    const cpuSeconds = median(measured.cpuSeconds) * (bytes === undefined ? 1 : GIB / bytes);
    return { seconds, medianSeconds: median(seconds), cpuSeconds };
  };
  const [calyx, ganesha] = [of('calyx'), of('ganesha')];
  const ratio = calyx && ganesha && calyx.medianSeconds / ganesha.medianSeconds;
  return { name, bytes, calyx, ganesha, ratio };
}
