import type { Test } from 'tap';
import type { Node } from '../../../bench/lab/topology.ts';
import { until } from '../../../bench/lab/until.ts';
import type { DataPlane } from '../../../src/dataplane/dataplane.ts';
import { DEVICE, deployRipstop, type OverlayWish, PORT } from '../agents/overlay.ts';
import { labFor } from '../lab.ts';
import { PacketSource } from './packet-source.ts';

/*
 * Ripstop on node 1 of three, whose peers are 2 and 3. Everything is sent from node 2, which is either that peer or, by
 * another address of its own, a stranger.
 */

const STRANGER = '172.31.0.77';

export interface Gate {
  plane: DataPlane;
  /** Node 1, its peers 2 and 3. */
  ours: Node;
  peer: Node;
  other: Node;
  fromPeer: PacketSource;
  fromStranger: PacketSource;
}

/** A tap test, as far as it is needed here. */
export type Owner = Pick<Test, 'same' | 'equal' | 'ok' | 'teardown'>;

/** The gate with nothing yet fired at it; ends with the test. */
export async function gateFor(t: Owner, wish: OverlayWish): Promise<Gate> {
  const { mode = 'vxlan' } = wish;
  const lab = labFor(t, { nodes: 3 });
  const [ours, peer, other] = lab.nodes as [Node, Node, Node];
  const plane = await deployRipstop(ours, [peer, other], wish);
  t.teardown(() => plane.stop());
  // Nothing leaves by the device but what the test causes: no multicast of the kernel's own, no answers.
  ours.ns.sysctl(`net/ipv6/conf/${DEVICE[mode]}/disable_ipv6=1`, 'net.ipv4.icmp_echo_ignore_all=1');
  ours.ns.ip(`route flush dev ${DEVICE[mode]}`);
  peer.ns.ip(`addr add ${STRANGER}/24 dev eth0`);
  const gun = (from: string) => new PacketSource(t, peer.ns, from, ours.underlay[4], PORT[mode]);
  return { plane, ours, peer, other, fromPeer: gun(peer.underlay[4]), fromStranger: gun(STRANGER) };
}

/** Frames that the kernel has taken from us: the device's receive counter. */
export function seen({ ours, plane }: Gate): number {
  const path = `/sys/class/net/${plane.deviceName}/statistics/rx_packets`;
  return Number(ours.ns.must(['cat', path]));
}

/** Frames by verdict. */
export const frames = (plane: DataPlane) =>
  Object.fromEntries(Object.entries(plane.counters().verdicts).map(([name, tally]) => [name, tally.frames]));
const total = (plane: DataPlane) => Object.values(frames(plane)).reduce((sum, count) => sum + count, 0);

/** What `action` added to the verdicts once `count` more frames are judged; only what is not zero. */
export async function judged(gate: Gate, count: number, action: () => Promise<unknown>) {
  const before = frames(gate.plane);
  const goal = total(gate.plane) + count;
  await action();
  await until(`${count} verdicts`, () => total(gate.plane) >= goal, 60_000, 2);
  const after = frames(gate.plane);
  const deltas = Object.keys(after).map(name => [name, after[name]! - before[name]!] as const);
  return Object.fromEntries(deltas.filter(([, delta]) => delta !== 0));
}
