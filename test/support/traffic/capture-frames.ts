import { must } from '../../../bench/lab/command.ts';
import { type Namespace, scratch } from '../../../bench/lab/namespace.ts';
import type { Proc } from '../../../bench/lab/proc.ts';
import { until } from '../../../bench/lab/until.ts';

let captures = 0;

export interface SniffOptions {
  /** tcpdump's expression; '' for all. */
  filter?: string;
  direction?: 'in' | 'out' | 'inout';
  /** Bytes kept of each packet. Larger ones take more of tcpdump's ring, which then loses sooner. */
  snap?: number;
  /** A capture that lost packets is an error. Default true. */
  complete?: boolean;
}

/**
 * Runs `action` while tcpdump, an observer that is none of ours, writes down what passes `device`.
 * @returns path of the capture
 */
export async function captureFrames(
  ns: Namespace,
  device: string,
  { filter = '', direction = 'inout', snap = 2048, complete = true }: SniffOptions,
  action: () => Promise<unknown>,
): Promise<string> {
  const file = `${scratch()}/sniff-${++captures}.pcap`;
  const options = [
    '-i',
    device,
    '-w',
    file,
    '-U',
    '--immediate-mode',
    '-s',
    `${snap}`,
    '-B',
    '32768',
    '-Q',
    direction,
  ];
  // tcpdump gives up root for a user that may not write here.
  const tcpdump = ns.launch(['tcpdump', '-Z', 'root', ...options, ...filter.split(' ').filter(Boolean)]);
  try {
    await tcpdump.saying(/listening on/);
    await action();
    await drained(tcpdump);
  } finally {
    await tcpdump.stop('SIGINT');
  }
  if (complete && !/\b0 packets dropped by kernel/.test(tcpdump.stderr))
    throw tcpdump.failure('ECHILD', 'lost packets of the capture');
  return file;
}

/**
 * Waits until a running tcpdump has written every packet that the kernel has captured for it so far: what it has not
 * fetched when it is stopped would be missing. On SIGUSR1 it reports its counters, after the packet that it is working
 * on. Two reports with the same counters mean that no packet was waiting between them. It must run in immediate mode:
 * otherwise the kernel holds packets back until a block of the ring is full or a timer ends, and nothing counts them.
 */
export async function drained(tcpdump: Proc): Promise<void> {
  let last: string | undefined;
  for (;;) {
    const { length } = tcpdump.stderr;
    tcpdump.kill('SIGUSR1');
    const report = await until('tcpdump to report its counters', () => {
      if (tcpdump.result !== undefined) throw tcpdump.failure('ECHILD', 'ended before it was stopped');
      return /\d+ packets? captured, \d+ packets? received by filter/.exec(tcpdump.stderr.slice(length))?.[0];
    });
    if (report === last) return;
    last = report;
  }
}

export interface DissectOptions {
  /** Display filter. */
  filter?: string;
  /** More arguments: `-d`, `-o`, `-E`. */
  more?: readonly string[];
}

/** What tshark sees in a capture: one array of field values a packet. Fields that occur twice hold commas. */
export function dissect(file: string, fields: readonly string[], { filter, more = [] }: DissectOptions = {}) {
  const argv = ['tshark', '-n', '-r', file, '-T', 'fields', '-E', 'separator=/t', ...more];
  const text = must([...argv, ...fields.flatMap(field => ['-e', field]), ...(filter ? ['-Y', filter] : [])]);
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => line.split('\t'));
}
