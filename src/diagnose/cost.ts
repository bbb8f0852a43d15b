import { described, listOf, number, oneOf, record, string, type ValueOf } from '../base/schema.ts';
import type { FlowRow } from '../capture/flows/flow-report.ts';
import { formatEndpoint } from '../ip/address.ts';
import type { Runtime, WorkerRuntime } from './runtime.ts';

/*
 * What flows and pods cost the workers. A batch is timed and not a packet, so that the time of the stages is divided: half of
 * read and send by packets on the wire and half by bytes, the other stages by packets. The sum over all rows of a direction
 * is what its workers were busy.
 */

const costRow = record({
  what: described('the flow as `protocol source > destination`, or the pod or its address', string),
  direction: described('egress: to the peer; ingress: from it', oneOf(['egress', 'ingress'])),
  packets: described('packets on the wire in the interval, dropped ones included', number),
  bytes: described('their IP bytes', number),
  nanoseconds: described('its part of the time of the workers', number),
});

export const costs = record({
  seconds: described('length of the interval', number),
  rows: described('the most expensive first', listOf(costRow)),
});

export type CostRow = ValueOf<typeof costRow>;
export type Costs = ValueOf<typeof costs>;

/** Of whom the rows are. */
export type CostOwner = 'flow' | 'pod';

/** A flow with the names of its pods, where they are known. */
export type OwnedFlow = Pick<
  FlowRow,
  | 'device'
  | 'direction'
  | 'protocol'
  | 'source'
  | 'sourcePort'
  | 'destination'
  | 'destinationPort'
  | 'packets'
  | 'bytes'
  | 'drops'
> & { readonly sourcePod: string | null; readonly destinationPod: string | null };

/** Stages whose time grows with the bytes as well. */
const BY_BYTES: readonly string[] = ['read', 'send'];

/**
 * Divides the time of the workers among the flows that passed between two listings.
 * @param before flows at the start; one that is not in it is new
 * @param isShown the flows that have rows; the others share the time as well
 */
export function costsOf(
  before: readonly OwnedFlow[],
  after: readonly OwnedFlow[],
  { seconds, workers }: Runtime,
  owner: CostOwner,
  isShown: (flow: OwnedFlow) => boolean = () => true,
): Costs {
  const passed = passedBetween(before, after);
  const rows = new Map<string, CostRow>();
  for (const [side, flows] of groupBy(passed, sideOf)) {
    const { byPackets, byBytes } = busyTime(workers.filter(worker => sideOf(worker) === side));
    const packets = sum(flows, flow => flow.packets);
    const bytes = sum(flows, flow => flow.bytes);
    for (const flow of flows.filter(isShown)) {
      const time = (byPackets * flow.packets) / packets + (bytes > 0 ? (byBytes * flow.bytes) / bytes : 0);
      const what = owner === 'flow' ? flowName(flow) : podOf(flow);
      const key = `${side} ${what}`;
      const row = rows.get(key);
      rows.set(key, {
        ...{ what, direction: flow.direction },
        packets: (row?.packets ?? 0) + flow.packets,
        bytes: (row?.bytes ?? 0) + flow.bytes,
        nanoseconds: (row?.nanoseconds ?? 0) + time,
      });
    }
  }
  return { seconds, rows: [...rows.values()].sort((a, b) => b.nanoseconds - a.nanoseconds) };
}

const sideOf = ({ device, direction }: Pick<OwnedFlow | WorkerRuntime, 'device' | 'direction'>) =>
  `${device} ${direction}`;

const flowName = ({ protocol, ...flow }: OwnedFlow) =>
  `${protocol} ${formatEndpoint(flow.sourcePod ?? flow.source, flow.sourcePort)} > ` +
  formatEndpoint(flow.destinationPod ?? flow.destination, flow.destinationPort);

/** The pod of this node. */
function podOf(flow: OwnedFlow): string {
  return flow.direction === 'egress'
    ? (flow.sourcePod ?? flow.source)
    : (flow.destinationPod ?? flow.destination);
}

/** The flows that had packets in between, with those packets alone. */
function passedBetween(before: readonly OwnedFlow[], after: readonly OwnedFlow[]): OwnedFlow[] {
  const keyOf = (flow: OwnedFlow) =>
    `${sideOf(flow)} ${flow.protocol} ${flow.source} ${flow.sourcePort} ${flow.destination} ${flow.destinationPort}`;
  const former = new Map(before.map(flow => [keyOf(flow), flow]));
  return after.flatMap(flow => {
    const start = former.get(keyOf(flow));
    // Counts that have become smaller are those of a new flow with the same addresses.
    const isSame = start !== undefined && start.packets <= flow.packets && start.drops <= flow.drops;
    const packets = flow.packets + flow.drops - (isSame ? start.packets + start.drops : 0);
    const bytes = flow.bytes - (isSame ? start.bytes : 0);
    return packets > 0 ? [{ ...flow, packets, bytes }] : [];
  });
}

/** Time of the stages, divided into what goes by packets and what goes by bytes. */
function busyTime(workers: readonly WorkerRuntime[]): { byPackets: number; byBytes: number } {
  const stages = workers.flatMap(worker => worker.stages);
  const whole = sum(stages, stage => stage.nanoseconds);
  const byBytes =
    sum(
      stages.filter(({ stage }) => BY_BYTES.includes(stage)),
      stage => stage.nanoseconds,
    ) / 2;
  return { byPackets: whole - byBytes, byBytes };
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item)) ?? [];
    group.push(item);
    groups.set(keyOf(item), group);
  }
  return groups;
}
