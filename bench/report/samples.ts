import type { Machine, Versions } from '../lab/versions.ts';

/** One measured value. Every sample is kept; medians are made where they are shown. */
export interface Sample {
  /** `audit` and `threads` (measured with `e2e`), `micro`, `path`, `update` (measured with `path`), `scale`, `sizing`, `traffic`, `cni`, `e2e`, `soak` or `churn` (measured with `soak`). */
  suite: string;
  /** Who was measured: a contender's id, or the name of a micro benchmark. */
  contender: string;
  /** Of the underlay (e2e), or the size of the table or batch; '' where there is none. */
  condition: string;
  /** What: an id of `FIGURES`. */
  figure: string;
  round: number;
  value: number;
}

/** A contender or measurement that gave nothing, and why. */
export interface Missing {
  suite: string;
  contender: string;
  condition: string;
  figure: string;
  reason: string;
}

/** The file that `--json` writes and `--compare` reads. */
export interface BenchFile {
  format: 'ripstop-bench/1';
  /** ISO 8601, start of the run. */
  began: string;
  seconds: number;
  versions: Versions;
  machine: Machine;
  inner: 4 | 6;
  underlay: 4 | 6;
  congestion: string;
  /** Share of the cores that other programs used just before, 0..1. */
  busyBefore?: number;
  /** Versions of the programs that were measured end to end, by contender id. */
  rivals?: Record<string, string>;
  /** Column titles by contender id. */
  labels: Record<string, string>;
  /** Ids of the contenders that encrypt, which have tables of their own; older files lack it. */
  sealed?: string[];
  samples: Sample[];
  missing: Missing[];
  /** Suites, end to end with its condition, that an earlier run measured (`--with`). */
  joined?: Joined[];
}

export interface Joined {
  suites: string[];
  /** ISO 8601, start of that run. */
  began: string;
  commit: string;
}

export interface Figure {
  title: string;
  /** Where the unit alone would not tell it from its neighbours in a narrow table. */
  short?: string;
  unit: string;
  better: 'more' | 'less';
  /** Decimals where it is shown. */
  digits: number;
}

const perUnit = (title: string, short: string, unit: string): Figure => ({
  ...{ title, short, unit },
  better: 'less',
  digits: 3,
});
const rate = (title: string): Figure => ({ title, unit: 'Gbit/s', better: 'more', digits: 2 });
const packets = (title: string): Figure => ({ title, unit: 'kpps', better: 'more', digits: 0 });
const loss = (title: string): Figure => ({ title, unit: '%', better: 'less', digits: 1 });
const lostAt = (title: string, short: string): Figure => ({
  title,
  short,
  unit: '%',
  better: 'less',
  digits: 1,
});
const time = (title: string): Figure => ({ title, unit: 'us', better: 'less', digits: 1 });

const cost = (title: string): Figure => ({ title, unit: '', better: 'less', digits: 1 });
/** What holds on every machine: `bench/e2e/counts.ts`. */
const costs = <Unit extends string>(unit: Unit, per: string) =>
  ({
    [`${unit}Calls`]: cost(`system calls ${per}`),
    [`${unit}Switches`]: cost('  context switches'),
    [`${unit}Interrupts`]: cost('  interrupts between cores'),
    [`${unit}Copies`]: cost(unit === 'trip' ? '  copies' : '  copies of each byte'),
  }) as Record<`${Unit}${'Calls' | 'Switches' | 'Interrupts' | 'Copies'}`, Figure>;

const ALL = {
  tcp1: rate('TCP, 1 stream'),
  tcp1back: rate('TCP, 1 stream, the way back'),
  tcp1node: rate('TCP, 1 stream, node to node'),
  tcpboth: rate('TCP, both directions at once'),
  tcp4: rate('TCP, 4 streams'),
  tcp4back: rate('TCP, 4 streams, the way back'),
  tcp4node: rate('TCP, 4 streams, node to node'),
  cpu: { title: 'CPU time per gigabit', unit: 's/Gbit', better: 'less', digits: 3 },
  cpuUser: perUnit('  of it user', 'user s/Gbit', 's/Gbit'),
  cpuSystem: perUnit('  system', 'system s/Gbit', 's/Gbit'),
  cpuSoftirq: perUnit('  softirq', 'softirq s/Gbit', 's/Gbit'),
  threadUser: perUnit('CPU time per gigabit, user', 'user s/Gbit', 's/Gbit'),
  threadSystem: perUnit('CPU time per gigabit, system', 'system s/Gbit', 's/Gbit'),
  udp64x1: packets('UDP 64 bytes, 1 flow'),
  udp64x1loss: loss('  lost'),
  udp64x8: packets('UDP 64 bytes, 8 flows'),
  udp64x8loss: loss('  lost'),
  paced95: packets('64 bytes, paced, 0.95 of flood'),
  paced125: packets('  1.25 of flood'),
  paced170: packets('  1.7 of flood'),
  udp1400x1: packets('UDP 1400 bytes, 1 flow'),
  udp1400x1loss: loss('  lost'),
  udp1400x8: packets('UDP 1400 bytes, 8 flows'),
  udp1400x8loss: loss('  lost'),
  rr50: time('round trip, p50'),
  rr90: time('round trip, p90'),
  rr99: time('round trip, p99'),
  rr999: time('round trip, p99.9'),
  load50: time('next to a TCP stream, p50'),
  load99: time('next to a TCP stream, p99'),
  connections: { title: 'TCP connections', unit: '1/s', better: 'more', digits: 0 },
  ...costs('trip', 'per round trip'),
  ...costs('packets', 'per 1,000 packets'),
  ...costs('bulk', 'per 64 KiB of TCP'),
  auditDevice: lostAt('lost at the device queue', 'device %'),
  auditUnderlay: lostAt('lost between the nodes', 'wire %'),
  auditSocket: lostAt('lost at the receive buffer', 'socket %'),
  auditVerdicts: lostAt('lost by other verdicts', 'other %'),
  auditResidue: { ...lostAt('without an outcome', 'residue %'), digits: 3 },
  auditDelivered: { ...lostAt('delivered to the device of the other node', 'there %'), better: 'more' },
  cniAdd: { title: 'ADD of a pod', unit: 'ms', better: 'less', digits: 1 },
  cniDel: { title: 'DEL of a pod', unit: 'ms', better: 'less', digits: 1 },
  nsPerOp: { title: 'time per operation', unit: 'ns', better: 'less', digits: 1 },
  nsPerFrame: { title: 'time per frame', unit: 'ns', better: 'less', digits: 1 },
  mpps: { title: 'frames', unit: 'Mpps', better: 'more', digits: 2 },
  tableBytes: { title: 'memory of the tables', unit: 'bytes', better: 'less', digits: 0 },
  publishMs: { title: 'time to publish all peers again', unit: 'ms', better: 'less', digits: 1 },
  stallUs: { title: 'longest stall', short: 'stall us', unit: 'us', better: 'less', digits: 0 },
  gapUs: {
    title: 'stall and waiting for a core',
    short: 'gap us',
    unit: 'us',
    better: 'less',
    digits: 0,
  },
  residentMb: { title: 'resident memory', unit: 'MB', better: 'less', digits: 1 },
  reloadMs: { title: 'reload', unit: 'ms', better: 'less', digits: 0 },
  takeoverLost: { title: 'pings lost at 10 ms steps', short: 'lost', unit: '', better: 'less', digits: 0 },
  createdS: {
    title: 'nodes that come: complete after',
    short: 'here s',
    unit: 's',
    better: 'less',
    digits: 1,
  },
  createdCpuS: { title: 'CPU time of their coming', short: 'CPU s', unit: 's', better: 'less', digits: 1 },
  oneMs: { title: 'one deletion meanwhile', short: 'one ms', unit: 'ms', better: 'less', digits: 0 },
  deletedS: { title: 'nodes that go: complete after', short: 'gone s', unit: 's', better: 'less', digits: 1 },
  deletedCpuS: { title: 'CPU time of their going', short: 'CPU s', unit: 's', better: 'less', digits: 1 },
  peakMb: { title: 'resident memory at most', short: 'peak MB', unit: 'MB', better: 'less', digits: 0 },
  afterMb: {
    title: 'resident memory when they are gone',
    short: 'left MB',
    unit: 'MB',
    better: 'less',
    digits: 0,
  },
  idlePercent: { title: 'CPU with nothing to do', short: 'idle %', unit: '%', better: 'less', digits: 2 },
  sendPerGbit: perUnit('CPU time of the sending process per gigabit', 'send s/Gbit', 's/Gbit'),
  receivePerGbit: perUnit('CPU time of the receiving process per gigabit', 'recv s/Gbit', 's/Gbit'),
  sendPerMpacket: perUnit('CPU time of the sending process per million packets', 'send s/M', 's'),
  receivePerMpacket: perUnit('CPU time of the receiving process per million packets', 'recv s/M', 's'),
  carriedKpps: packets('packets carried'),
  carriedGbit: rate('carried'),
  churnFirst: { title: 'median of the first third', short: 'first', unit: '', better: 'less', digits: 1 },
  churnMiddle: { title: 'of the second', short: 'middle', unit: '', better: 'less', digits: 1 },
  churnLast: { title: 'of the last', short: 'last', unit: '', better: 'less', digits: 1 },
  churnGrowth: {
    title: 'growth within the last two thirds',
    short: 'growth',
    unit: '',
    better: 'less',
    digits: 2,
  },
  churnBound: { title: 'flat below', short: 'flat below', unit: '', better: 'less', digits: 0 },
  churnReading: { title: 'median of all readings', short: 'all', unit: '', better: 'less', digits: 1 },
  collections: { title: 'garbage collections', short: 'GCs', unit: '', better: 'less', digits: 0 },
} as const satisfies Record<string, Figure>;

export type FigureId = keyof typeof ALL;
/** Everything that is measured, in the order in which it is shown. */
export const FIGURES: Readonly<Record<FigureId, Figure>> = ALL;
