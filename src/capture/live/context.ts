import type { Encapsulation, Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';

/** A remote node as a capture names it. */
export interface CapturePeer {
  readonly id: string;
  /** Underlay address as text. */
  readonly address: string;
  readonly port: number;
}

/** A verdict as a capture names it; `dataplane/descriptor/verdicts.ts` has them all. */
export interface CaptureVerdict {
  readonly name: string;
  readonly drop: boolean;
  readonly meaning: string;
  /** What a person can do about it. */
  readonly remedy: string;
}

/**
 * What the reader of a capture has to know about the data plane that it watches. Plain data: it crosses the agent's
 * socket as JSON.
 */
export interface CaptureContext {
  readonly mode: Mode;
  /** VXLAN network identifier; without meaning in `udp` mode. */
  readonly vni: number;
  /** Own underlay addresses as text; the family of a peer picks one. */
  readonly addresses: readonly string[];
  /** Own UDP port. */
  readonly port: number;
  /** Source ports by index of the sending socket. */
  readonly sourcePorts: readonly number[];
  /** By peer slot; empty slots are undefined or null. */
  readonly peers: readonly (CapturePeer | null | undefined)[];
  /** By verdict number. */
  readonly verdicts: readonly CaptureVerdict[];
}

export function encapsulationOf(context: CaptureContext): Encapsulation {
  return FORMATS[context.mode];
}

/** Own underlay address of the family that `peer` has, or the one there is. */
export function ownAddress(context: CaptureContext, peer: string): string | undefined {
  const six = peer.includes(':');
  return context.addresses.find(address => address.includes(':') === six);
}

/** The peer in a slot, by what people call it. */
export function peerName(context: CaptureContext, slot: number): string | undefined {
  const peer = slot < 0 ? undefined : context.peers[slot];
  return peer ? `${peer.id} (${peer.address})` : undefined;
}
