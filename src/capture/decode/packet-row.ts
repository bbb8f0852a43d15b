import { described, listOf, number, oneOf, record, string, type ValueOf } from '../../base/schema.ts';
import { type CaptureInterface, LINK_ETHERNET, type Packet } from '../format/packet.ts';
import type { CaptureContext } from '../live/context.ts';
import { NO_PODS, podPairFields } from './pod-pair.ts';
import { describePacket } from './text.ts';

/** A captured packet for a program. */
export const packetRowField = record({
  time: described('when it passed, nanoseconds', string),
  point: described('capture point; with --pod the pod', string),
  direction: described('out: to the underlay, or from the pod; in: the other way', oneOf(['in', 'out'])),
  packet: described('the packet in the notation of tcpdump', string),
  length: described('bytes of the packet', number),
  ...podPairFields,
  comments: described('what is known about it: verdict, peer, pods, GSO', listOf(string)),
  lostBefore: described('packets that were lost at this point since the packet before', number),
});

export function packetRow(
  packet: Packet,
  { name, link }: CaptureInterface,
  overlay: Pick<CaptureContext, 'mode' | 'port'> | undefined,
): ValueOf<typeof packetRowField> {
  const { time, length, comments = [], pods = NO_PODS, dropped = 0n, direction = 'in' } = packet;
  const seconds = new Date(Number(time / 1_000_000n)).toISOString().slice(0, 19);
  return {
    time: `${seconds}.${String(time % 1_000_000_000n).padStart(9, '0')}Z`,
    point: name ?? '',
    direction,
    packet: describePacket(packet.bytes, link === LINK_ETHERNET ? 'ethernet' : 'ip', { length, overlay }),
    length,
    ...pods,
    comments: [...comments],
    lostBefore: Number(dropped),
  };
}
