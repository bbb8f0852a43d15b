/*
 * The forwarder's own time, without kernel and without copies, one direction in one thread:
 *   node --expose-gc dist/bench/path/main.js DIRECTION MODE PEERS STATIONS SECONDS     prints one JSON line
 * PEERS nodes, each with a subnet a family; STATIONS further MACs behind them (vxlan). Frames are UDP with 64 bytes of
 * payload, over IPv4, to all peers in turn.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import type { Mode } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import { Exceptions } from '../../src/path/exceptions.ts';
import { egressTurn, ingressTurn } from '../../src/path/forwarder.ts';
import { peerInput } from '../../src/path/peer-spec.ts';
import { type Batch, createBatch } from '../../src/shm/batch.ts';
import { createCounters, openCounters } from '../../src/shm/counters.ts';
import { openReader, tablesBytes } from '../../src/shm/tables.ts';
import { type PeerInput, TablesWriter } from '../../src/shm/tables-writer.ts';
import { StillEnds } from './still.ts';

export interface PathResult {
  frames: number;
  seconds: number;
  /** Garbage collections while frames were carried. */
  collections: number;
  /** Bytes of the tables. */
  tableBytes: number;
  /** Milliseconds to publish all peers anew. */
  publishMs: number;
}

const BATCH = 64;
/** Distinct frames, 64 batches of them. */
const FRAMES = 4096;
const ROOM = 256;
const LEAD = 128;
const PAYLOAD = 64;
const VNI = 1;
const OWN_MAC = { hi: 0x0a58, lo: 0x7f000001 };
const OWN_ADDRESS = 0x0afe0002;

/** Node n's pod subnet is the n-th /24 of 10.0.0.0/8. */
const podAddress = (node: number) => (0x0a000000 + node * 256 + 2) | 0;
const macOf = (n: number) => ({ hi: 0x0a58, lo: n + 1 });

function peers(count: number, stations: number, mode: Mode): PeerInput[] {
  const defaults = {
    format: FORMATS[mode],
    vni: VNI,
    port: FORMATS[mode].port,
    pathMtu: 1500,
    innerMtu: 1450,
  };
  return Array.from({ length: count }, (_, n) => {
    const spec = {
      id: `node${n}`,
      address: `172.${16 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`,
      subnets: [`10.${n >> 8}.${n & 255}.0/24`, `fd00:10:${(n + 1).toString(16)}::/64`],
    };
    const own = peerInput(spec, defaults);
    const behind = Array.from({ length: Math.floor(stations / count) }, (_, s) =>
      macOf(count + s * count + n),
    );
    return mode === 'vxlan' ? { ...own, mac: macOf(n), stations: behind } : own;
  });
}

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

async function measure(
  direction: string,
  mode: Mode,
  count: number,
  stations: number,
  seconds: number,
): Promise<PathResult> {
  const ingress = direction === 'ingress';
  const capacity = { peers: count, macs: count + stations, prefixes: count, readers: 1 };
  const writer = new TablesWriter(capacity);
  const inputs = peers(count, stations, mode);
  writer.publish(inputs);
  const published = performance.now();
  writer.publish(inputs);
  const publishMs = performance.now() - published;

  const batch: Batch = { ...createBatch(BATCH, FRAMES * ROOM) };
  const macs = inputs.flatMap(peer => (peer.mac ? [peer.mac, ...(peer.stations ?? [])] : [macOf(0)]));
  let length = 0;
  for (let i = 0; i < FRAMES; i++)
    length = writeFrame(batch, i, i % count, macs[i % macs.length]!, mode, ingress);
  const addresses = inputs.map(peer => new Int32Array(peer.address.buffer.slice(0, 16)));
  const ends = new StillEnds({ count: FRAMES, room: ROOM, lead: LEAD, length }, addresses, BATCH);

  const counters = openCounters(createCounters(1, count)).blocks[0]!;
  const ethernet = mode === 'vxlan' ? 1 : 0;
  const common = { device: ends, port: ends, batch, reader: openReader(writer.memory, 0), counters };
  const exceptions = new Exceptions({
    device: ends,
    port: ends,
    batch,
    flood: 0,
    sendIcmp: () => {},
    reportTooBig: () => {},
    nowMs: () => performance.now(),
  });
  const egress = { ...common, exceptions, rules: { ethernet, flood: 0, flowSockets: 16 } };
  const gate = {
    ethernet,
    vni: VNI,
    macHigh: OWN_MAC.hi,
    macLow: OWN_MAC.lo,
    flood: 0,
    strict: 1,
    mtu: 1450,
    superframes: 0,
  };
  const inward = { ...common, rules: gate };
  const turns = (n: number) => {
    let frames = 0;
    if (ingress) for (let i = 0; i < n; i++) frames += ingressTurn(inward, 0);
    else for (let i = 0; i < n; i++) frames += egressTurn(egress, 0);
    return frames;
  };

  turns(20_000);
  let collections = 0;
  const observer = new PerformanceObserver(list => {
    collections += list.getEntries().length;
  });
  (globalThis as { gc?: () => void }).gc?.();
  await new Promise(resolve => setImmediate(resolve));
  observer.observe({ entryTypes: ['gc'] });
  ends.forwarded = 0;
  let frames = 0;
  const began = performance.now();
  let now = began;
  while (now - began < seconds * 1000) {
    frames += turns(1000);
    now = performance.now();
  }
  await new Promise(resolve => setTimeout(resolve, 10));
  observer.disconnect();
  if (ends.forwarded !== frames)
    throw new Error(`${frames - ends.forwarded} of ${frames} frames were not forwarded`);
  return { frames, seconds: (now - began) / 1000, collections, tableBytes: tablesBytes(capacity), publishMs };
}

const [direction = '', mode = '', count = '', stations = '', seconds = ''] = process.argv.slice(2);
const result = await measure(direction, mode as Mode, Number(count), Number(stations), Number(seconds));
process.stdout.write(`${JSON.stringify(result)}\n`);
