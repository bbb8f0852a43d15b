import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { baseAddress } from '../../ip/prefix.ts';
import { ProbeWindow } from './probe-window.ts';

/** Probes in a row without an answer after which a peer counts as silent. */
const SILENT_AFTER = 3;

export type PeerState = 'answers' | 'silent' | 'silent in the tunnel';

/** What is known of one peer that is probed. */
export interface ProbeState {
  readonly device: string | undefined;
  readonly id: string;
  /** Monotonic milliseconds. */
  readonly since: number;
  readonly name: string;
  readonly address: string;
  /** Where the tunnel ends: the first address of the peer's subnet; undefined for plain routes. */
  readonly tunnelAddress: string | undefined;
  readonly tunnel: ProbeWindow;
  readonly underlay: ProbeWindow;
  state: PeerState;
  /** It answered a probe, or its packets arrived, at least once. */
  wasReached: boolean;
}

export function keyOf(device: string | undefined, { id, address, subnets, direct }: Peer): string {
  const [subnet] = subnets;
  return `${device} ${id} ${address} ${subnet && baseAddress(subnet)} ${direct}`;
}

export function probeStateOf(device: string | undefined, peer: Peer): ProbeState {
  const [subnet] = peer.subnets;
  const isTunnelled = device !== undefined && !peer.direct && subnet !== undefined;
  return {
    device,
    id: peer.id,
    since: performance.now(),
    name: peer.node?.split('/')[0] ?? peer.address,
    address: peer.address,
    tunnelAddress: isTunnelled ? baseAddress(subnet) : undefined,
    tunnel: new ProbeWindow(),
    underlay: new ProbeWindow(),
    state: 'answers',
    wasReached: false,
  };
}

/** @param isHeard packets of the peer arrive: a node that answers no ICMP at all filters it */
export function stateOf({ tunnelAddress, tunnel, underlay }: ProbeState, isHeard: boolean): PeerState {
  const isSilent = (way: ProbeWindow) => way.lostInARow >= SILENT_AFTER;
  if (tunnelAddress === undefined || isSilent(tunnel))
    return isSilent(underlay)
      ? isHeard
        ? 'answers'
        : 'silent'
      : tunnelAddress === undefined
        ? 'answers'
        : 'silent in the tunnel';
  return 'answers';
}
