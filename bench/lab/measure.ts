import { readFileSync } from 'node:fs';
import { RipstopError } from '../../src/base/errors.ts';
import type { Namespace } from '../../src/lab/namespace.ts';
import type { Proc } from '../../src/lab/proc.ts';
import { tool } from './tool.ts';

/** Between which two namespaces one measures, and the address of the second, which decides the family. */
export interface Route {
  from: Namespace;
  to: Namespace;
  address: string;
}

/** Pinned, so that runs on machines with another default compare. */
export const CONGESTION_CONTROL = 'cubic';

/** What a process needs beyond its own measuring time. */
const GRACE_MS = 15_000;

export interface PingResult {
  sent: number;
  received: number;
  /** Mean round trip, ms; undefined when nothing came back. */
  averageMs: number | undefined;
}

/**
 * ICMP echo, one after the other, each waited for at most two seconds. Every echo is a call of its own: ping(8) waits for the
 * last of several only twice as long as the others took, which on a busy machine counts late answers as lost.
 */
export async function ping(route: Route, count: number): Promise<PingResult> {
  const times: number[] = [];
  for (let sent = 0; sent < count; sent++) {
    const run = route.from.launch(['ping', '-n', '-c', '1', '-W', '2', route.address]);
    await run.ended;
    if (!/^1 packets transmitted/m.test(run.stdout)) throw run.failure('ECHILD', 'gave no summary');
    const time = /time=([\d.]+) ms/.exec(run.stdout)?.[1];
    if (time !== undefined) times.push(Number(time));
  }
  const averageMs = times.length > 0 ? times.reduce((sum, time) => sum + time, 0) / times.length : undefined;
  return { sent: count, received: times.length, averageMs };
}

export interface ThroughputResult {
  /** What the receiver got, TCP payload. */
  gbitPerSecond: number;
  retransmits: number;
  /** As iperf3 read it back from the sender's socket. */
  congestion: string;
}

interface Iperf {
  error?: string;
  end: {
    sum_sent: { retransmits?: number };
    sum_received: { bits_per_second: number };
    /** With --bidir, of the second namespace's stream. */
    sum_received_bidir_reverse?: { bits_per_second: number };
    sender_tcp_congestion?: string;
    receiver_tcp_congestion?: string;
  };
}

/**
 * TCP bulk throughput by iperf3.
 * @param streams parallel connections
 * @param direction who sends: the first namespace, the second one (`reverse`), or both at once (`both`), which gives the sum
 */
export async function throughput(
  route: Route,
  seconds: number,
  streams = 1,
  direction: 'forward' | 'reverse' | 'both' = 'forward',
): Promise<ThroughputResult> {
  const server = route.to.launch(['iperf3', '-s', '-1', '-B', route.address, '-p', '5201', '--forceflush']);
  try {
    await server.saying(/listening on/);
    const client = [
      'iperf3',
      '-c',
      route.address,
      '-p',
      '5201',
      '-J',
      '-C',
      CONGESTION_CONTROL,
      '-t',
      `${seconds}`,
    ];
    if (direction !== 'forward') client.push(direction === 'reverse' ? '-R' : '--bidir');
    if (streams > 1) client.push('-P', `${streams}`);
    const run = route.from.launch(client);
    await run.success(seconds * 1000 + GRACE_MS);
    const { end, error } = JSON.parse(run.stdout) as Iperf;
    if (error !== undefined) throw new RipstopError('ECHILD', `iperf3: ${error}`);
    const back = end.sum_received_bidir_reverse?.bits_per_second ?? 0;
    return {
      gbitPerSecond: (end.sum_received.bits_per_second + back) / 1e9,
      retransmits: end.sum_sent.retransmits ?? 0,
      congestion: end.sender_tcp_congestion ?? end.receiver_tcp_congestion ?? CONGESTION_CONTROL,
    };
  } finally {
    await server.stop('SIGKILL');
  }
}

export interface PacketRateResult {
  sent: number;
  received: number;
  /** Packets received a second. */
  rate: number;
  /** Share of the sent packets that did not arrive, 0..1. */
  loss: number;
}

/**
 * UDP packet rate.
 * @param size UDP payload in bytes
 * @param flows senders with a source port each
 * @param pace packets a second offered; 0 sends as fast as it goes
 */
export async function packetRate(
  route: Route,
  seconds: number,
  size = 64,
  flows = 1,
  pace = 0,
): Promise<PacketRateResult> {
  const program = tool('packets');
  const receiver = route.to.launch([program, 'receive', route.address, '0', `${seconds + 5}`]);
  try {
    const port = await listening(receiver);
    const sender = route.from.launch([
      program,
      'send',
      route.address,
      port,
      `${size}`,
      `${flows}`,
      `${pace}`,
      `${seconds}`,
    ]);
    const offered = JSON.parse(await sender.success(seconds * 1000 + GRACE_MS)) as { sent: number };
    const said = await receiver.success(seconds * 1000 + GRACE_MS);
    const { received, rate } = JSON.parse(said.split('\n')[1]!) as { received: number; rate: number };
    return { sent: offered.sent, received, rate, loss: offered.sent === 0 ? 0 : 1 - received / offered.sent };
  } finally {
    await receiver.stop('SIGKILL');
  }
}

/** Times in microseconds, `rate` questions answered a second. */
export interface RoundTripResult {
  count: number;
  lost: number;
  rate: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
}

/** The cores this process may use, as `taskset` and /proc name them. */
function allowedCores(): number[] {
  const ranges = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ranges.split(',').flatMap(range => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
}

/** Which of two cores the client has; the server has the other one. */
type ClientCore = 0 | 1;

/**
 * Client and server on cores of their own, where there are two. Left alone, the scheduler now and then puts both on one,
 * where a kernel path is a chain of function calls that no two machines have.
 */
function onCore(core: ClientCore): string[] {
  const cores = allowedCores();
  return cores.length > 1 ? ['taskset', '-c', `${cores[core]}`] : [];
}

/** One byte there and back over `tcp` or `udp`; with `connect` every question opens a connection of its own. */
export async function roundTrip(
  route: Route,
  seconds: number,
  kind: 'tcp' | 'udp' | 'connect',
  client: ClientCore = 0,
): Promise<RoundTripResult> {
  const program = tool('roundtrip');
  const server = route.to.launch([
    ...onCore(client === 0 ? 1 : 0),
    program,
    'serve',
    route.address,
    '0',
    kind,
    `${seconds + 5}`,
  ]);
  try {
    const port = await listening(server);
    const asking = [...onCore(client), program, 'ask', route.address, port, kind, `${seconds}`];
    const said = await route.from.launch(asking).success(seconds * 1000 + GRACE_MS);
    return JSON.parse(said) as RoundTripResult;
  } finally {
    await server.stop('SIGKILL');
  }
}

async function listening(server: Proc): Promise<string> {
  return (await server.saying(/^listening (\d+)$/m))[1]!;
}
