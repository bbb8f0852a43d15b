import { closeSync, constants, readFileSync } from 'node:fs';
import { native } from '../native/load.ts';

/*
 * Counters of the IP stack of a network namespace (/proc/net/snmp, netstat and snmp6; RFC 2013, RFC 4293 and the kernel's
 * own), under the names that nstat(8) prints: UdpRcvbufErrors, TcpExtIPReversePathFilter, Ip6ReasmFails.
 */

const TABLES = ['snmp', 'netstat', 'snmp6'] as const;

/** All counters by name. A table that the kernel does not have (snmp6 without IPv6) is left out. */
export function readMib(netns: string): ReadonlyMap<string, number> {
  return new Map(TABLES.flatMap(table => [...parseMib(readTable(netns, table))]));
}

function readTable(netns: string, table: string): string {
  try {
    // The directory shows the namespace of the thread that opens it.
    const fd = native.fileOpen(netns, `/proc/thread-self/net/${table}`, constants.O_RDONLY);
    try {
      return readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}

/** Reads both forms: pairs of a line of names and a line of values (`Udp: InDatagrams ...`), and one name and value per line. */
export function parseMib(text: string): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  let names: string[] = [];
  for (const line of text.split('\n')) {
    const [first = '', ...rest] = line.trim().split(/\s+/);
    if (!first.endsWith(':')) {
      if (rest[0] !== undefined) values.set(first, Number(rest[0]));
    } else if (names.length === 0) names = [first, ...rest];
    else {
      const group = first.slice(0, -1);
      for (const [index, value] of rest.entries())
        values.set(`${group}${names[index + 1] ?? ''}`, Number(value));
      names = [];
    }
  }
  return values;
}
