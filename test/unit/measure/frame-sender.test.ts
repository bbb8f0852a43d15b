import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import * as checksum from '../../../encap/wire/checksum.ts';
import * as ipv4 from '../../../encap/wire/ipv4.ts';
import * as ipv6 from '../../../encap/wire/ipv6.ts';
import * as measure from '../../../encap/wire/measure.ts';
import * as udp from '../../../encap/wire/udp.ts';
import { addressBytes } from '../../../src/ip/address.ts';
import { PayloadFinder } from '../../../src/measure/receive/payload-finder.ts';
import {
  PAYLOAD_LENGTH,
  PAYLOAD_OFFSET,
  PAYLOAD_PACKET,
  PAYLOAD_PORT,
} from '../../../src/measure/receive/payloads.ts';
import { type FrameRoute, FrameSender } from '../../../src/measure/send/frame-sender.ts';
import { seeded } from '../../fixtures/random.ts';

const VNET = 12;
const MACS = { source: Uint8Array.of(2, 0, 0, 0, 0, 1), destination: Uint8Array.of(2, 0, 0, 0, 0, 2) };

const ROUTES: Record<string, FrameRoute> = {
  'IPv4 in Ethernet': {
    ...{ family: 4, source: addressBytes('10.1.2.3'), destination: addressBytes('10.9.8.7') },
    ...{ port: 5299, sourcePorts: [50_000, 60_001], ethernet: MACS, mtu: 9000 },
  },
  IPv6: {
    ...{ family: 6, source: addressBytes('fd00::1:2'), destination: addressBytes('fd00:ffff::9') },
    ...{ port: 1, sourcePorts: [1, 65_535], ethernet: undefined, mtu: 9000 },
  },
};

for (const [name, route] of Object.entries(ROUTES))
  t.test(`frames of ${name} are whole, and their checksums right`, async t => {
    const random = seeded(t);
    const folder = t.testdir();
    const path = join(folder, 'frames');
    const file = openSync(path, 'w');
    const sender = new FrameSender(file, route, 1500, measure.keyOf(3, 4), false);
    const link = route.ethernet ? 14 : 0;
    const min = (route.family === 4 ? 28 : 48) + measure.BYTES;
    const sent = Array.from({ length: 40 }, (_, sequence) => ({
      bytes: sequence === 0 ? min : min + random.below(1500 - min),
      flow: random.below(2),
      sequence: random.uint32(),
      time: random.below(65_536) * 2 ** 32 + random.uint32(),
    }));
    for (const [at, { bytes, flow, sequence, time }] of sent.entries())
      sender.write(at, flow, bytes, measure.FLAG_ASK, sequence, time);
    t.equal(sender.send(sent.length), 0);
    closeSync(file);

    const all = readFileSync(path);
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    let off = 0;
    for (const { bytes, flow, sequence, time } of sent) {
      const frame = off + VNET;
      const ip = frame + link;
      const header = route.family === 4 ? ipv4.check(view, ip, bytes) : ipv6.check(view, ip, bytes);
      const transport = ip + header;
      const length = bytes - header;
      t.ok(header > 0 && udp.check(view, transport, length) > 0, 'headers');
      if (route.family === 4) t.ok(ipv4.isChecksumGood(view, ip), 'IPv4 checksum');
      const pseudo = route.family === 4 ? checksum.pseudo4 : checksum.pseudo6;
      t.ok(checksum.verify(view, transport, length, pseudo(view, ip, 17, length)), 'UDP checksum');
      const payload = transport + udp.BYTES;
      t.same(
        [udp.sourcePort(view, transport), udp.destinationPort(view, transport)],
        [route.sourcePorts[flow], route.port],
      );
      t.same(
        [measure.flow(view, payload), measure.sequence(view, payload), measure.time(view, payload)],
        [flow, sequence, time],
      );

      const finder = new PayloadFinder(view, 4);
      if (link > 0) finder.ethernet(frame, link + bytes, 0, 1, 2);
      else finder.ip(frame, bytes, 0, 1, 2);
      t.equal(finder.count, 1);
      t.same(
        [PAYLOAD_OFFSET, PAYLOAD_LENGTH, PAYLOAD_PACKET, PAYLOAD_PORT].map(field => finder.payloads[field]),
        [payload, length - udp.BYTES, bytes, route.sourcePorts[flow]],
      );
      off = frame + link + bytes;
    }
    t.equal(off, all.length, 'and nothing else was written');
  });
