import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { viewOf } from '../../encap/wire/addresses.ts';
import * as ethernet from '../../encap/wire/ethernet.ts';
import * as icmp from '../../encap/wire/icmp.ts';
import * as icmpv6 from '../../encap/wire/icmpv6.ts';
import * as ipv4 from '../../encap/wire/ipv4.ts';
import * as ipv6 from '../../encap/wire/ipv6.ts';
import * as udp from '../../encap/wire/udp.ts';
import { describePacket } from '../../src/capture/decode/text.ts';
import { addressBytes } from '../../src/ip/address.ts';
import { macBytes } from '../../src/ip/mac.ts';
import { type Random, seeded } from '../fixtures/random.ts';
import { skipUnless } from '../fixtures/skip-unless.ts';
import { emitArp, emitTcp } from '../unit/encap/fixtures/emit-headers.ts';
import { fromTcpdump } from './tcpdump-line.ts';

const FRAMES = 400;

const four = (random: Random) =>
  Uint8Array.of(10, random.between(0, 255), random.between(0, 255), random.between(1, 254));
const six = (random: Random) => addressBytes(`fd00:${random.between(1, 9999)}::${random.between(1, 9999)}`);

/** Payload of a random transport whose ports no decoder of tcpdump claims, and its protocol number. */
function transport(random: Random, family: 4 | 6): [protocol: number, payload: Uint8Array] {
  const data = random.between(0, 40);
  const bytes = new Uint8Array(60 + data);
  const view = viewOf(bytes);
  const ports = {
    sourcePort: random.between(40_000, 40_900),
    destinationPort: random.between(40_000, 40_900),
  };
  switch (random.between(0, 2)) {
    case 0: {
      const header = {
        sequence: random.pick([random.uint32(), 0xfffffff8]),
        acknowledgement: random.uint32(),
        flags: random.between(0, 255),
      };
      const rest = {
        window: random.between(0, 0xffff),
        checksum: 0,
        urgentPointer: random.between(1, 0xffff),
      };
      const length = emitTcp(view, 0, { ...ports, ...header, ...rest, options: new Uint8Array(0) });
      return [6, bytes.subarray(0, length + data)];
    }
    case 1:
      udp.emit(view, 0, { ...ports, totalLength: 8 + data, checksum: 0 });
      return [17, bytes.subarray(0, 8 + data)];
    default: {
      const rest = random.uint32();
      if (family === 4) {
        icmp.emit(view, 0, { type: random.pick([0, 8]), code: 0, checksum: 0, rest });
        return [1, bytes.subarray(0, 8 + data)];
      }
      icmpv6.emit(view, 0, { type: random.pick([128, 129]), code: 0, checksum: 0, rest });
      return [58, bytes.subarray(0, 8 + data)];
    }
  }
}

/** A well-formed frame of a random kind. */
function frame(random: Random): Uint8Array {
  const bytes = new Uint8Array(200);
  const view = viewOf(bytes);
  const link = { destination: macBytes('02:00:00:00:00:02'), source: macBytes('02:00:00:00:00:01') };
  const kind = random.between(0, 4);
  if (kind === 0) {
    const sender = four(random);
    const at = ethernet.emit(view, 0, { ...link, type: ethernet.TYPE_ARP });
    const length = emitArp(view, at, {
      operation: random.between(1, 2),
      senderMac: link.source,
      senderAddress: random.pick([sender, sender, new Uint8Array(4)]),
      targetMac: random.pick([new Uint8Array(6), link.destination]),
      targetAddress: random.pick([four(random), four(random), sender]),
    });
    return bytes.slice(0, at + length);
  }
  if (kind <= 2) {
    const [protocol, payload] = transport(random, 4);
    const at = ethernet.emit(view, 0, { ...link, type: ethernet.TYPE_IPV4 });
    const address = { source: four(random), destination: four(random), protocol, ttl: 64, tos: 0 };
    const fragment = { identification: 7, dontFragment: true, moreFragments: false, fragmentOffset: 0 };
    const totalLength = 20 + payload.length;
    ipv4.emit(view, at, { ...address, ...fragment, totalLength, options: new Uint8Array(0) });
    bytes.set(payload, at + 20);
    return bytes.slice(0, at + totalLength);
  }
  const [protocol, payload] = transport(random, 6);
  const at = ethernet.emit(view, 0, { ...link, type: ethernet.TYPE_IPV6 });
  const address = { source: six(random), destination: six(random), nextHeader: protocol, hopLimit: 64 };
  ipv6.emit(view, at, { ...address, trafficClass: 0, flowLabel: 0, payloadLength: payload.length });
  bytes.set(payload, at + 40);
  return bytes.slice(0, at + 40 + payload.length);
}

/** A classic capture file of Ethernet frames. */
function pcap(frames: readonly Uint8Array[]): Uint8Array {
  const head = Uint8Array.of(
    0xa1,
    0xb2,
    0xc3,
    0xd4,
    0,
    2,
    0,
    4,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    4,
    0,
    0,
    0,
    0,
    0,
    1,
  );
  const records = frames.map(bytes => {
    const record = new Uint8Array(16 + bytes.length);
    viewOf(record).setUint32(8, bytes.length);
    viewOf(record).setUint32(12, bytes.length);
    record.set(bytes, 16);
    return record;
  });
  return Buffer.concat([head, ...records]);
}

t.test(
  'well-formed frames are described in the words of tcpdump',
  { skip: skipUnless('tcpdump') },
  async t => {
    const random = seeded(t);
    const frames = Array.from({ length: FRAMES }, () => frame(random));
    const folder = mkdtempSync(join(tmpdir(), 'rs-text-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'frames.pcap');
    writeFileSync(path, pcap(frames));
    const output = execFileSync('tcpdump', ['-n', '-t', '-S', '-r', path], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    const lines = output.trimEnd().split('\n');
    t.equal(lines.length, frames.length);
    for (const [index, bytes] of frames.entries()) {
      const ours = describePacket(bytes, 'ethernet');
      const theirs = fromTcpdump(lines[index] ?? '');
      if (ours !== theirs) t.equal(ours, theirs, Buffer.from(bytes).toString('hex'));
    }
  },
);
