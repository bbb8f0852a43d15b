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
  type Shape,
  text,
  withDefault,
} from '../../base/schema.ts';

const PORT = integer(0, 65_535, 'UDP port');

const PEER = objectOf(
  {
    id: required(text('a name', 'name of the peer')),
    address: required(text('an address', 'underlay address')),
    port: required(PORT),
    remoteChecksum: withDefault(flag('it completes inner checksums itself (remote checksum offload)'), false),
  },
  'a peer',
);

/** A verdict of `dataplane/descriptor/verdicts.ts`. */
const VERDICT = objectOf(
  {
    name: required(text('a name', 'name of the verdict')),
    drop: required(flag('whether it drops the frame')),
    direction: required(oneOf(['egress', 'ingress', 'both'], 'where it occurs')),
    meaning: required(text('a text', 'what it means')),
    remedy: required(text('a text', 'what a person can do about it')),
  },
  'a verdict',
);

/** A peer as it was at a generation of the tables. */
export interface CapturePeer {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** It completes inner checksums itself (remote checksum offload). */
  readonly remoteChecksum: boolean;
}

/** JSON has null for an empty slot. */
const SLOT: Field<CapturePeer | null | undefined> = {
  ...PEER,
  read: (raw, where) => (raw === null ? null : PEER.read(raw, where)),
};

const contextFields = {
  mode: required(oneOf(Object.keys(FORMATS) as Mode[], 'wire format')),
  vni: required(integer(0, 0xffffff, 'VXLAN network identifier; unused in udp mode')),
  addresses: required(
    listOf(text('an address', 'address'), "this node's underlay addresses, one per family"),
  ),
  port: required(PORT),
  sourcePorts: required(listOf(PORT, 'source ports by index of the sending socket')),
  generation: required(integer(0, 0x7fffffff, 'generation of the tables that the slots are of')),
  peers: required(listOf(SLOT, 'peers by slot')),
  verdicts: required(listOf(VERDICT, 'verdicts by number')),
};

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** What the reader of a capture needs to know about the data plane. Sent over the agent's socket as JSON. */
export type CaptureContext = DeepReadonly<Shape<typeof contextFields>>;
export type CaptureVerdict = CaptureContext['verdicts'][number];

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

/** Name and address of a peer. */
export function peerName(peer: Pick<CapturePeer, 'id' | 'address'>): string {
  return `${peer.id} (${peer.address})`;
}

const linkFields = {
  address: required(text('an address', 'underlay address of a peer')),
  hopLimit: integer(0, 255, 'TTL or hop limit of datagrams to it, if it is known'),
  sourceMac: text('a MAC address', 'MAC address of the interface, if it has one'),
  destinationMac: text('a MAC address', 'MAC address of the next hop, if the kernel has it'),
};

/** How the kernel sends datagrams to an underlay address: what it writes into the headers in front of UDP. */
export type OuterLink = DeepReadonly<Shape<typeof linkFields>>;

/** Reads a link from JSON. @throws RipstopError ECONFIG */
export function readOuterLink(raw: unknown): OuterLink {
  return readObject(linkFields, raw, 'link');
}

const changeFields = {
  generation: required(integer(0, 0x7fffffff, 'first generation of the tables with this change')),
  slots: required(
    listOf(
      objectOf({ slot: required(integer(0, 0xffff, 'slot')), peer: PEER }, 'a slot'),
      'slots with their new peers; without one the slot is free',
    ),
  ),
};

/** A change of the set of peers, as JSON. */
export interface PeerChange {
  readonly generation: number;
  readonly slots: readonly { readonly slot: number; readonly peer?: CapturePeer | null | undefined }[];
}

/** Reads a change from JSON. @throws RipstopError ECONFIG */
export function readPeerChange(raw: unknown): PeerChange {
  return readObject(changeFields, raw, 'change of the peers');
}
