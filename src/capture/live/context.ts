import type { Encapsulation, Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import {
  type Field,
  flag,
  integer,
  listOf,
  objectOf,
  oneOf,
  readObject,
  required,
  text,
} from '../../base/schema.ts';

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

/** What the reader of a capture needs to know about the data plane. Sent over the agent's socket as JSON. */
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

const PORT = integer(0, 65_535, 'UDP port');

const PEER = objectOf(
  {
    id: required(text('a name', 'name of the peer')),
    address: required(text('an address', 'underlay address')),
    port: required(PORT),
  },
  'a peer',
);

const VERDICT = objectOf(
  {
    name: required(text('a name', 'name of the verdict')),
    drop: required(flag('whether it drops the frame')),
    direction: oneOf(['egress', 'ingress', 'both'], 'where it occurs'),
    meaning: required(text('a text', 'what it means')),
    remedy: required(text('a text', 'what to do')),
  },
  'a verdict',
);

/** JSON writes the empty slots as null. */
const SLOT: Field<CapturePeer | null> = {
  ...PEER,
  read: (raw, where) => (raw === null ? null : PEER.read(raw, where)),
};

const contextFields = {
  mode: required(oneOf(Object.keys(FORMATS) as Mode[], 'wire format')),
  vni: required(integer(0, 0xffffff, 'VXLAN network identifier')),
  addresses: required(listOf(text('an address', 'address'), 'own underlay addresses')),
  port: required(PORT),
  sourcePorts: required(listOf(PORT, 'source ports by socket')),
  peers: required(listOf(SLOT, 'peers by slot')),
  verdicts: required(listOf(VERDICT, 'verdicts by number')),
};

/** Reads a context from JSON. @throws RipstopError ECONFIG */
export function readContext(raw: unknown): CaptureContext {
  return readObject(contextFields, raw, 'context');
}

export function encapsulationOf(context: CaptureContext): Encapsulation {
  return FORMATS[context.mode];
}

/** Own underlay address of the family of `peer`. */
export function ownAddress(context: CaptureContext, peer: string): string | undefined {
  const six = peer.includes(':');
  return context.addresses.find(address => address.includes(':') === six);
}

/** Name and address of the peer in a slot. */
export function peerName(context: CaptureContext, slot: number): string | undefined {
  const peer = slot < 0 ? undefined : context.peers[slot];
  return peer ? `${peer.id} (${peer.address})` : undefined;
}
