import type { Agent } from '../agent/agent.ts';
import { RipstopError } from '../base/errors.ts';
import { described, listOf, number, oneOf, record, string, type ValueOf } from '../base/schema.ts';
import { STAGE_NAMES, type StageName } from '../dataplane/timing/stages.ts';

const worker = record({
  device: described('device of the overlay', string),
  worker: described(
    'name of the thread, as in the log and in `top -H`: `egress-0`; `both-0` if it serves both directions',
    string,
  ),
  direction: described('`egress` or `ingress`', oneOf(['egress', 'ingress'])),
  nanoseconds: described('time by the clock of the worker; 0 if it did not move within 2.5 s', number),
  asleep: described('of it, nanoseconds in a wait of the kernel', number),
  stages: described(
    'of it, nanoseconds by stage. What neither a stage nor a wait took is the loop between two batches, and other work of the thread',
    listOf(
      record({
        stage: described('name of the stage', oneOf(STAGE_NAMES)),
        nanoseconds: described('its time', number),
      }),
    ),
  ),
  batches: described('batches with at least one frame', number),
  frames: described('frames from the device, GSO packets whole; at ingress datagrams', number),
  segments: described('packets on the wire: datagrams sent, or frames received', number),
  calls: described('system calls that send datagrams or write frames', number),
});

export const runtime = record({
  seconds: described('requested length of the measurement', number),
  workers: described('by worker', listOf(worker)),
});

export type Runtime = ValueOf<typeof runtime>;
export type WorkerRuntime = ValueOf<typeof worker>;

/** What each stage does; ingress has no slow path. */
export const STAGE_MEANINGS: Readonly<
  Record<WorkerRuntime['direction'], Readonly<Partial<Record<StageName, string>>>>
> = {
  egress: {
    read: 'frames from the device',
    classify: 'verdict, peer and socket',
    'slow-path': 'ICMP, ARP and ND answers, replication',
    send: 'segment, send datagrams',
    count: 'count, copy for captures',
  },
  ingress: {
    read: 'datagrams from the socket',
    classify: 'source check, verdict',
    send: 'coalesce, write to the device',
    count: 'count, copy for captures',
  },
};

/**
 * Times the stages of all workers for `seconds`.
 * @throws RipstopError EAGENT without an overlay that Ripstop carries
 */
export async function runtimeOf(agent: Agent, seconds: number): Promise<Runtime> {
  const planes = (agent.network?.overlays ?? []).flatMap(({ plane }) => plane ?? []);
  if (planes.length === 0)
    throw new RipstopError(
      'EAGENT',
      'there are no workers: Ripstop carries no packets now',
      'wait until the node is ready (`ripstop status --wait`); with --data-plane=kernel the kernel carries them',
    );
  const measured = await Promise.all(planes.map(plane => plane.measureStages(seconds * 1000)));
  return {
    seconds,
    workers: measured.flatMap((workers, at) =>
      workers.map(({ stages, ...totals }) => ({
        device: planes[at]?.deviceName ?? '',
        ...totals,
        stages: STAGE_NAMES.map(stage => ({ stage, nanoseconds: stages[stage] })),
      })),
    ),
  };
}
