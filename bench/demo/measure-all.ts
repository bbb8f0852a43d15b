import { describeError } from '../../src/base/errors.ts';
import type { MeasuredDeployment } from '../contenders/contender.ts';
import { busySeconds } from '../lab/cpu.ts';
import {
  packetRate,
  ping,
  type Route,
  roundTrip,
  type ThroughputResult,
  throughput,
} from '../lab/measure.ts';
import { transfer } from '../lab/transfer.ts';
import type { Figures } from './figures.ts';
import { AROUND, type Measure, PACKET_BYTES, type Plan, transferSeconds } from './plan.ts';
import type { Progress } from './progress.ts';

/** A contender that stands and is to be measured. */
export interface Measurable {
  label: string;
  deployment: MeasuredDeployment;
  route: Route;
}

/**
 * Measures all of them in turn, round by round, each round in the other order than the one before, so that drift of the
 * machine falls on all alike. A measurement that fails is noted and the rest goes on.
 * @param figures what is measured goes there, in the order of `standing`
 */
export async function measureAll(
  standing: readonly Measurable[],
  figures: readonly Figures[],
  plan: Plan,
  progress: Progress,
): Promise<void> {
  const began = performance.now();
  const late = () => performance.now() - began > (plan.enoughAfter ?? Number.POSITIVE_INFINITY) * 1000;

  async function rounds(
    what: string,
    { rounds: count, seconds }: Measure,
    measure: (route: Route, into: Figures) => Promise<unknown>,
  ): Promise<void> {
    for (let round = 1; round <= count && !(round > 1 && late()); round++) {
      const order = standing.map((_, i) => i);
      if (round % 2 === 0) order.reverse();
      for (const index of order) {
        const { label, route } = standing[index]!;
        progress.step(`${label}: ${what}${count > 1 ? ` ${round}/${count}` : ''}`, seconds);
        try {
          await measure(route, figures[index]!);
        } catch (error) {
          figures[index]!.errors.push(`${label}: ${what}: ${describeError(error)}`);
        }
      }
    }
  }
  const lasting = (measure: Measure) => ({ ...measure, seconds: measure.seconds + AROUND });
  const tcp =
    (into: (figures: Figures) => ThroughputResult[], streams: number, reverse: boolean, seconds: number) =>
    async (route: Route, f: Figures) =>
      into(f).push(await throughput(route, seconds, streams, reverse ? 'reverse' : 'forward'));

  await rounds('ping', { rounds: 1, seconds: plan.pings * 0.05 }, async (route, f) => {
    f.ping = await ping(route, plan.pings);
    if (f.ping.received < f.ping.sent)
      throw new Error(`${f.ping.sent - f.ping.received} of ${f.ping.sent} lost`);
  });
  const bytes = plan.transferBytes;
  await rounds(
    `transfer of ${bytes / 1e6} MB`,
    { rounds: 1, seconds: transferSeconds(bytes) },
    async (route, f) => {
      f.transfer = await transfer({ ...route, bytes });
      if (!f.transfer.intact) throw new Error(`sent ${f.transfer.sent}, received ${f.transfer.received}`);
    },
  );
  await rounds('TCP, 1 stream', lasting(plan.throughput), async (route, f) => {
    const before = busySeconds();
    const result = await throughput(route, plan.throughput.seconds);
    const gigabytes = (result.gbitPerSecond * plan.throughput.seconds) / 8;
    f.throughput.push(result);
    if (gigabytes > 0) f.cpuPerGigabyte.push((busySeconds() - before) / gigabytes);
  });
  if (plan.parallel)
    await rounds(
      'TCP, 4 streams',
      lasting(plan.parallel),
      tcp(f => f.parallel, 4, false, plan.parallel.seconds),
    );
  if (plan.reverse)
    await rounds(
      'TCP, the way back',
      lasting(plan.reverse),
      tcp(f => f.reverse, 1, true, plan.reverse.seconds),
    );
  await rounds('round trips', lasting(plan.latency), async (route, f) => {
    f.latency.push(await roundTrip(route, plan.latency.seconds, 'tcp'));
  });
  await rounds(`${PACKET_BYTES}-byte packets`, lasting(plan.packets), async (route, f) => {
    f.packets.push(await packetRate(route, plan.packets.seconds, PACKET_BYTES));
  });
}
