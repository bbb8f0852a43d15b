import type { Mode } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import { createCounters, openCounters } from '../../src/dataplane/descriptor/counters.ts';
import { type Batch, createBatch } from '../../src/dataplane/descriptor/descriptor.ts';
import type { Peer } from '../../src/dataplane/descriptor/peer.ts';
import { forwardEgressBatch, forwardIngressBatch, NO_TAP } from '../../src/dataplane/fast-path/forwarder.ts';
import { ownRange } from '../../src/dataplane/forwarder-config.ts';
import { SlowPath } from '../../src/dataplane/slow-path/slow-path.ts';
import { openReader } from '../../src/dataplane/tables/tables.ts';
import { noteDecided, noteRead, openTaps, tapBatch } from '../../src/dataplane/tap/tap.ts';
import { createTapControl, createTapRing, TAPS } from '../../src/dataplane/tap/tap-control.ts';
import { mappedBytesOf, requireAddress } from '../../src/ip/address.ts';
import { requirePrefix } from '../../src/ip/prefix.ts';
import { native } from '../../src/native/load.ts';
import { NullIo } from './null-io.ts';
import { macOf, podAddress, VNI } from './peers.ts';

const BATCH = 64;
/** Distinct frames, 64 batches of them. */
const FRAMES = 4096;
const ROOM = 256;
const LEAD = 128;
const PAYLOAD = 64;
const OWN_MAC = { hi: 0x0a58, lo: 0x7f000001 };
const OWN_ADDRESS = 0x0afe0002;
const OWN_SUBNET = requirePrefix('10.254.0.0/24');

/** Writes frame `i` of the slab; ingress frames carry the encapsulation header and come from the peer. */
function writeFrame(
  batch: Batch,
  i: number,
  node: number,
  mac: { hi: number; lo: number },
  mode: Mode,
  ingress: boolean,
): number {
  const { view, slab } = batch;
  const start = i * ROOM + LEAD;
  let at = start;
  if (ingress && mode === 'vxlan') {
    slab.set(FORMATS.vxlan.header(VNI), at);
    at += 8;
  }
  if (mode === 'vxlan') {
    const destination = ingress ? OWN_MAC : mac;
    view.setUint16(at, destination.hi);
    view.setInt32(at + 2, destination.lo);
    const source = ingress ? macOf(node) : OWN_MAC;
    view.setUint16(at + 6, source.hi);
    view.setInt32(at + 8, source.lo);
    view.setUint16(at + 12, 0x0800);
    at += 14;
  }
  const [from, to] = ingress ? [podAddress(node), OWN_ADDRESS] : [OWN_ADDRESS, podAddress(node)];
  const total = 28 + PAYLOAD;
  slab.set([0x45, 0, total >> 8, total & 255, 0, 0, 0x40, 0, 63, 17, 0, 0], at);
  view.setInt32(at + 12, from);
  view.setInt32(at + 16, to);
  view.setUint16(at + 20, 40000 + (i & 255));
  view.setUint16(at + 22, 9);
  view.setUint16(at + 24, 8 + PAYLOAD);
  return at + total - start;
}

export interface Alone {
  direction: 'egress' | 'ingress';
  mode: Mode;
  peers: readonly Peer[];
  /** Of a writer that has published them. */
  tables: SharedArrayBuffer;
  /** Lets a capture look at every batch, which is switched off. */
  watched?: boolean;
}

/**
 * One direction of the forwarder between two ends that copy nothing. Frames are UDP with 64 bytes of payload, over IPv4, to all
 * peers in turn.
 * @returns carries n batches, and tells how many frames came out as they should
 */
export function forwarderAlone({ direction, mode, peers, tables, watched = false }: Alone): {
  turns(n: number): number;
  forwarded(): number;
} {
  const ingress = direction === 'ingress';
  const batch: Batch = { ...createBatch(BATCH, FRAMES * ROOM) };
  let length = 0;
  for (let i = 0; i < FRAMES; i++)
    length = writeFrame(batch, i, i % peers.length, macOf(i % peers.length), mode, ingress);
  const addresses = peers.map(({ address }) => new Int32Array(mappedBytesOf(requireAddress(address)).buffer));
  const ends = new NullIo({ count: FRAMES, room: ROOM, lead: LEAD, length }, addresses, BATCH);

  const counters = openCounters(createCounters(1, peers.length)).blocks[0]!;
  const ethernet = mode === 'vxlan' ? 1 : 0;
  const taps = openTaps({
    control: createTapControl(),
    rings: Array.from({ length: TAPS }, () => createTapRing()),
    batch,
    direction,
    headerBytes: 0,
    wallMs: native.wallClock,
  });
  const tap = watched
    ? {
        ...NO_TAP,
        onRead: () => noteRead(taps),
        onDecided: (generation: number) => noteDecided(taps, generation),
        onDone: (count: number) => tapBatch(taps, count, ends.sources),
      }
    : NO_TAP;
  const common = { device: ends, port: ends, batch, reader: openReader(tables, 0), counters, tap };
  const slowPath = new SlowPath({
    device: ends,
    port: ends,
    batch,
    flood: 0,
    sendIcmp: () => {},
    reportTooBig: () => {},
    nowMs: () => performance.now(),
  });
  const egress = { ...common, slowPath, config: { ethernet, flood: 0, flowSockets: 16 } };
  const config = {
    ethernet,
    vni: VNI,
    macHi16: OWN_MAC.hi,
    macLo32: OWN_MAC.lo,
    flood: 0,
    sourceCheck: 1,
    own: ownRange([OWN_SUBNET]),
    mtu: 1450,
    gsoPackets: 0,
  };
  const inward = { ...common, config };
  const turn = (): number => (ingress ? forwardIngressBatch(inward) : forwardEgressBatch(egress));
  return {
    turns(n) {
      let frames = 0;
      for (let i = 0; i < n; i++) frames += turn();
      return frames;
    },
    forwarded: () => ends.forwarded,
  };
}
