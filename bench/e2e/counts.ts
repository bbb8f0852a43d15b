import { type Counts, counted } from '../lab/counts.ts';
import { packetRate, type Route, roundTrip, throughput } from '../lab/measure.ts';
import type { FigureId } from '../report/samples.ts';

/*
 * What a tunnel costs in numbers that hold on every machine: system calls, context switches, interrupts between cores, and
 * copies between kernel and process.
 */

/** Packets of 64 bytes per second: more than one thread waits for, and less than any tunnel loses. */
const PACE = 20_000;
const GSO_BYTES = 64 << 10;

/** What one call or byte stands for. */
type Unit = 'trip' | 'packets' | 'bulk';
type Values = Partial<Record<FigureId, number>>;

/**
 * @param units how many round trips, thousands of packets, or 64 KiB
 * @param copies between the kernel and the processes, of each packet or byte
 */
function perUnit(unit: Unit, { calls, switches, interrupts }: Counts, units: number, copies: number): Values {
  return {
    [`${unit}Calls`]: calls / units,
    [`${unit}Switches`]: switches / units,
    [`${unit}Interrupts`]: interrupts / units,
    [`${unit}Copies`]: copies,
  };
}

/** What the processes read from and write to the device also passes a socket. */
const copiesOf = ({ copied }: Counts, payload: number) => (2 * copied) / payload;

const measure = (
  title: string,
  run: (route: Route, seconds: number, pids: readonly number[]) => Promise<Values>,
) => ({ title, share: 0.5, who: ['kernel', 'vxlan', 'udp'], run });

export const COUNT_MEASURES = {
  countTrips: measure('system calls of round trips', async (route, seconds, pids) => {
    const { result, counts } = await counted(pids, () => roundTrip(route, seconds, 'tcp'));
    const { calls, empty, waits, yields } = counts;
    return perUnit('trip', counts, result.count, (calls - empty - waits - yields) / result.count);
  }),
  countPackets: measure('system calls of 64-byte packets', async (route, seconds, pids) => {
    const { result, counts } = await counted(pids, () => packetRate(route, seconds, 64, 1, PACE));
    // Inner packets have 28 bytes of UDP and IPv4, or 48 of IPv6.
    const bytes = 64 + (route.address.includes(':') ? 48 : 28);
    return perUnit('packets', counts, result.received / 1000, copiesOf(counts, result.received * bytes));
  }),
  countBulk: measure('system calls of a TCP stream', async (route, seconds, pids) => {
    const { result, counts } = await counted(pids, () => throughput(route, seconds));
    const bytes = (result.gbitPerSecond * seconds * 1e9) / 8;
    return perUnit('bulk', counts, bytes / GSO_BYTES, copiesOf(counts, bytes));
  }),
} as const;
