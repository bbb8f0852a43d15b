import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent } from '../../agent/agent.ts';
import { hasCode, RipstopError } from '../../base/errors.ts';
import type { DataPlane } from '../../dataplane/dataplane.ts';
import { requireAddress } from '../../ip/address.ts';
import { attachClassifier, detachClassifier, type Hook, type Place } from '../../net/bpf/classifier.ts';
import { PacketCounter, type TunnelEnd } from '../../net/bpf/packet-count.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { IpStackCounters } from '../ip-stack.ts';
import { type Audit, egressBalance, ingressBalance, type Reading } from './balance.ts';

/*
 * The account of a data plane over some seconds: what entered must be what left, what was dropped for a named reason, and
 * what still waits. What entered is counted by the kernel, with a program at the egress hook of the overlay device and at
 * the ingress hook of the underlay: the data plane's own counters would agree with themselves.
 */

/** One direction of one overlay, with the counter of what enters. */
interface AuditPoint {
  readonly device: string;
  readonly plane: DataPlane;
  readonly place: Place;
  readonly linkName: string;
  /** Frames that the queue of the device holds. */
  readonly queueLength: number;
  readonly counter: PacketCounter;
}

/** Agents that audit now: two audits would replace each other's program. */
const busy = new WeakSet<Agent>();

/**
 * Counts for `seconds` what enters, and its outcomes. Loads two BPF programs per overlay, and removes them.
 * @throws RipstopError EAGENT without an overlay that Ripstop carries, or while another audit runs; EPRIV; NetError
 */
export async function auditOf(agent: Agent, seconds: number): Promise<Audit> {
  if (busy.has(agent))
    throw new RipstopError('EAGENT', 'another audit runs', 'repeat the command when it ends');
  busy.add(agent);
  const { netns } = agent.options;
  const socket = new NetlinkSocket({ netns });
  const points: AuditPoint[] = [];
  try {
    openPoints(agent, socket, points);
    for (const { place, counter } of points) attachClassifier(socket, place, counter.program);
    const stack = new IpStackCounters(netns);
    // What moves between the readings of one point is residue. The first reading loads the code, and so takes longest.
    points.map(read);
    const before = points.map(read);
    await sleep(seconds * 1000);
    const after = points.map(read);
    const changes = stack.changes();
    return {
      seconds,
      directions: points.map((point, index) =>
        balance(point, before[index] ?? read(point), after[index] ?? read(point)),
      ),
      stack: changes,
    };
  } finally {
    busy.delete(agent);
    for (const { place, counter } of points) {
      detachClassifier(socket, place);
      counter.close();
    }
    socket.close();
  }
}

/** @param points gets each point as it is opened, so that the caller can close them after an error */
function openPoints(agent: Agent, socket: NetlinkSocket, points: AuditPoint[]): void {
  const underlay = agent.network?.inputs.underlay.name;
  for (const [slot, { plan, plane }] of (agent.network?.overlays ?? []).entries()) {
    if (!plane || !underlay) continue;
    const end = { address: requireAddress(plan.address), port: plan.port ?? 0 };
    const ends: [Hook, string, TunnelEnd | undefined][] = [
      ['egress', plane.deviceName, undefined],
      ['ingress', underlay, end],
    ];
    for (const [hook, linkName, counted] of ends) {
      const link = findLink(socket, linkName);
      if (!link) throw new RipstopError('ENODEVICE', `device ${linkName} is gone`, 'repeat the command');
      const counter = openCounter(counted);
      const { index, txQueueLength = 0 } = link;
      points.push({
        ...{ device: plane.deviceName, plane, linkName, queueLength: txQueueLength, counter },
        place: { link: index, hook, slot },
      });
    }
  }
  if (points.length === 0)
    throw new RipstopError(
      'EAGENT',
      'there is nothing to audit: Ripstop carries no packets now',
      'wait until the node is ready (`ripstop status --wait`); with --data-plane=kernel the kernel carries them',
    );
}

function openCounter(end: TunnelEnd | undefined): PacketCounter {
  try {
    return new PacketCounter(end);
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'EACCES', 'ENOSYS', 'EINVAL')) throw error;
    throw new RipstopError(
      'EPRIV',
      `an audit counts packets with a BPF program, and the kernel refused it: ${error.message}`,
      'give the agent CAP_BPF (CAP_SYS_ADMIN before Linux 5.8), and allow bpf(2) in its seccomp profile',
      { cause: error },
    );
  }
}

function read({ plane, place: { hook }, counter }: AuditPoint): Reading {
  const { verdicts: judged, stats } = plane.countsOf(hook);
  const kernel = plane.kernelCounts();
  const { packets, segments } = counter.read();
  const isEgress = hook === 'egress';
  // Without UDP_GRO the kernel cuts a coalesced packet before it comes to the socket.
  const isWhole = isEgress || plane.offloads.udpGro === 'on';
  return {
    frames: isWhole ? packets : segments,
    segments,
    judged,
    judgedSegments: stats.segments + stats.unforwardedSegments,
    dropped: isEgress ? kernel.deviceDropped : kernel.socketDropped,
    droppedAs: isEgress ? 'device-queue-full' : 'socket-dropped',
    read: isEgress ? kernel.deviceRead : stats.messages,
    waitingBytes: kernel.waitingBytes,
  };
}

function balance(
  { device, place: { hook }, linkName, queueLength }: AuditPoint,
  before: Reading,
  after: Reading,
) {
  const outcome =
    hook === 'egress' ? egressBalance(before, after, queueLength) : ingressBalance(before, after);
  return { device, direction: hook, countedAt: `${hook} of ${linkName}`, ...outcome };
}
