import { describe, expect, it } from 'vitest';
import { adviseMount, adviceOptions } from './advise-mount.js';
import type { AdviceInput } from './advice-input.js';
import type { ClientFacts, LinkFacts, NfsVersion, StoreFacts } from './client-facts.js';
import type { Measurement, MeasuredBy } from './measurement.js';

const CLIENT: ClientFacts = {
  kernel: '6.1.0-18-amd64',
  modules: { nfs: 'loaded', nfsv3: 'loadable', nfsv4: 'loadable' },
  readPlus: 'no',
  tls: { kernel: 'no', tlshd: false },
  mountHelper: true,
  mayMount: true,
  cores: 8,
  readAheadKb: 128,
};
const LINK: LinkFacts = {
  address: '10.0.0.1',
  localAddress: '10.0.0.2',
  interface: 'eth0',
  loopback: false,
  speedMbit: 10_000,
  mtu: 1500,
  connectMs: 0.2,
  roundTripMs: 0.2,
};
const STORE: StoreFacts = {
  versions: { '3': 'yes', '4.1': 'yes', '4.2': 'yes' },
  privilegedPorts: 'no',
  tls: 'no',
};

function stream(
  version: NfsVersion,
  megabytes: number[],
  connections = 1,
  by: MeasuredBy = 'mount',
): Measurement {
  return {
    trial: { version, by, connections, readAheadKb: 4096, reads: 'stream' },
    rounds: megabytes.map((value) => value * 1e6),
    attributeRounds: [],
  };
}

function small(version: NfsVersion, readAheadKb: number, megabytes: number): Measurement {
  return {
    trial: { version, by: 'mount', connections: 1, readAheadKb, reads: 'small' },
    rounds: [megabytes * 1e6],
    attributeRounds: [],
  };
}

function advise(
  results: readonly Measurement[],
  changes: Partial<AdviceInput> = {},
): ReturnType<typeof adviseMount> {
  return adviseMount({
    client: CLIENT,
    link: LINK,
    store: STORE,
    measurements: { file: { path: '/m/big', bytes: 2 ** 30 }, results, failed: [] },
    host: '10.0.0.1',
    port: 2049,
    path: '/',
    mountPoint: '/mnt/calyx',
    ...changes,
  });
}

describe('the advised version', () => {
  it('is the one that was measured as fastest', () => {
    const advice = advise([stream('3', [900, 950, 910]), stream('4.1', [700, 800]), stream('4.2', [750])]);
    expect(advice?.version.version).toBe('3');
    expect(advice?.version.why).toBe('measured as fastest (3: 910 MB/s, 4.1: 750 MB/s, 4.2: 750 MB/s)');
    expect(advice === undefined ? '' : adviceOptions(advice)).toBe(
      'ro,vers=3,proto=tcp,port=2049,mountport=2049,nolock,hard,timeo=100,rsize=1048576,nconnect=4,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1',
    );
  });

  it.each([
    [1000, 965, 961, '4.2'],
    [1000, 965, 955, '4.1'],
    [1000, 955, 955, '3'],
    [955, 1000, 965, '4.2'],
    [900, 1000, 950, '4.1'],
  ] as const)('of 3: %d, 4.1: %d, 4.2: %d MB/s is %s: the newest of the fastest', (v3, v41, v42, version) => {
    const advice = advise([stream('3', [v3]), stream('4.1', [v41]), stream('4.2', [v42])]);
    expect(advice?.version.version).toBe(version);
  });

  it('counts the best of each version over its numbers of connections', () => {
    const advice = advise([
      stream('3', [500]),
      stream('3', [900], 4),
      stream('4.2', [600]),
      stream('4.2', [700], 4),
    ]);
    expect(advice?.version.version).toBe('3');
    expect(advice?.connections.value).toBe(4);
  });

  it('goes by the kernel where the kernel was measured', () => {
    const advice = advise([stream('3', [3000], 4, 'protocol'), stream('4.2', [600])]);
    expect(advice?.version.version).toBe('4.2');
  });

  it('is none that the kernel cannot mount or that failed to mount', () => {
    const noV4 = { ...CLIENT, modules: { ...CLIENT.modules, nfsv4: 'missing' as const } };
    expect(advise([], { client: noV4 })?.version.version).toBe('3');
    const failed = [{ version: '4.2', by: 'mount', reason: 'Protocol not supported' }] as const;
    const measurements = { file: undefined, results: [], failed };
    expect(advise([], { measurements })?.version.version).toBe('4.1');
  });

  it('is told also to a machine that cannot mount, with what to do', () => {
    const modules = { nfs: 'missing', nfsv3: 'missing', nfsv4: 'missing' } as const;
    const advice = advise([stream('3', [900], 4, 'protocol'), stream('4.1', [1200], 4, 'protocol')], {
      client: { ...CLIENT, modules, mayMount: false },
    });
    // Measured as 4.1, whose reads are those of 4.2.
    expect(advice?.version.version).toBe('4.2');
    expect(advice?.warnings.join('\n')).toContain('has no NFS client');
  });

  it('is none if the store offers none', () => {
    const versions = { '3': 'no', '4.1': 'no', '4.2': 'no' } as const;
    expect(advise([], { store: { ...STORE, versions } })).toBeUndefined();
  });
});

describe('the advised settings', () => {
  it('are the smallest values that reach what larger ones do', () => {
    const advice = advise([
      stream('4.2', [600, 600, 900]),
      stream('4.2', [1100], 4),
      stream('4.2', [1120], 8),
      small('4.2', 128, 150),
      small('4.2', 1024, 300),
      small('4.2', 4096, 400),
      small('4.2', 16384, 410),
      small('3', 1024, 900),
    ]);
    expect(advice?.connections.value).toBe(4);
    expect(advice?.connections.why).toContain('1: 600 MB/s, 4: 1,100 MB/s, 8: 1,120 MB/s');
    expect(advice?.readAheadKb.value).toBe(4096);
    expect(advice?.readAheadKb.why).toContain('128: 150 MB/s');
    expect(advice?.commands).toEqual([
      'mkdir -p /mnt/calyx',
      'mount -t nfs -o ro,vers=4.2,proto=tcp,port=2049,hard,timeo=100,rsize=1048576,nconnect=4,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1 10.0.0.1:/ /mnt/calyx',
      'echo 4096 > /sys/class/bdi/$(mountpoint -d /mnt/calyx)/read_ahead_kb',
    ]);
  });

  it.each([
    ['5.2.0', { speedMbit: 10_000 }, 1, 'has no nconnect'],
    ['6.1.0', { loopback: true }, 1, 'on this machine'],
    ['6.1.0', { speedMbit: 1_000 }, 1, '1000 Mbit/s'],
    ['6.1.0', { speedMbit: undefined }, 4, 'unknown speed'],
    ['6.1.0', { speedMbit: 25_000 }, 4, 'not measured'],
  ])('on Linux %s with %j, unmeasured: nconnect %d', (kernel, link, value, why) => {
    const advice = advise([], { client: { ...CLIENT, kernel }, link: { ...LINK, ...link } });
    expect(advice?.connections.value).toBe(value);
    expect(advice?.connections.why).toContain(why);
  });

  it('read ahead by link and latency where nothing was measured', () => {
    expect(advise([])?.readAheadKb.value).toBe(4096);
    // 100 Gbit/s over 1 ms: 12.5 MB under way, twice.
    const far = { ...LINK, speedMbit: 100_000, roundTripMs: 1 };
    expect(advise([], { link: far })?.readAheadKb.value).toBe(16_384);
  });

  it('warn of ports, READ_PLUS and small files', () => {
    const said = advise([], {
      client: { ...CLIENT, readPlus: 'yes', mountHelper: false },
      store: { ...STORE, privilegedPorts: 'yes' },
      measurements: { file: { path: '/x', bytes: 1000 }, results: [], failed: [] },
    })?.warnings.join('\n');
    for (const word of ['READ_PLUS', 'nfs-common', 'below 1024', 'rough']) expect(said).toContain(word);
  });
});

describe('TLS', () => {
  const able: ClientFacts = { ...CLIENT, kernel: '6.12.0', tls: { kernel: 'yes', tlshd: true } };
  const offers = (tls: StoreFacts['tls'], client: ClientFacts): ReturnType<typeof adviseMount> =>
    advise([stream('4.2', [900])], { store: { ...STORE, tls }, client });

  it('is an option where the store wants it, also in the command', () => {
    const advice = offers('required', able);
    expect(advice && adviceOptions(advice)).toContain(',xprtsec=tls,');
    expect(advice?.commands.join('\n')).toContain(',xprtsec=tls,');
    expect(advice?.warnings.join('\n')).toContain('x509.truststore');
  });

  it('is recommended where both have it, and not where one has not', () => {
    expect(offers('offered', able)?.warnings.join('\n')).toContain('add xprtsec=tls');
    for (const advice of [offers('no', able), offers('offered', CLIENT)])
      expect(JSON.stringify(advice)).not.toContain('xprtsec');
  });

  it('says what is missing where the store wants it', () => {
    const daemon = { ...able, tls: { kernel: 'yes', tlshd: false } } as const;
    expect(offers('required', CLIENT)?.warnings.join('\n')).toContain('Linux 6.5');
    expect(offers('required', daemon)?.warnings.join('\n')).toContain('ktls-utils');
  });
});
