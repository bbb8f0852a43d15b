import t from 'tap';
import { OK } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import { buildOuter } from '../../encap/outer-header.ts';
import * as vxlan from '../../encap/vxlan.ts';
import { viewOf } from '../../encap/wire/addresses.ts';
import { pseudo4, pseudo6, verify } from '../../encap/wire/checksum.ts';
import * as ipv4 from '../../encap/wire/ipv4.ts';
import * as vlan from '../../encap/wire/vlan.ts';
import { describePacket } from '../../src/capture/decode/text.ts';
import { dissect, innerOf } from './datagrams.ts';
import * as kernelUdp from './kernel-udp.ts';
import * as kernel from './kernel-vxlan.ts';
import { fromTcpdump } from './tcpdump-line.ts';

/** Network identifier by outer destination port, as the capture was made. */
const VNI: Record<number, number> = { 8472: 1, 8473: 5, 4789: 0x010203 };

/** What `tcpdump -n -t -S` 4.99.3 printed for the inner frames, less TCP options and what it reads into port 5353. */
const LINES: Record<string, string> = {
  ARP_REQUEST: 'ARP, Request who-has 10.244.2.0 tell 10.244.1.0, length 28',
  ARP_REPLY: 'ARP, Reply 10.244.2.0 is-at 0e:00:00:00:04:02, length 28',
  ECHO_4_OVER_4: 'IP 10.244.1.0 > 10.244.2.0: ICMP echo request, id 21194, seq 1, length 24',
  SOLICITATION:
    'IP6 fd00:10:244:1:: > ff02::1:ff00:0: ICMP6, neighbor solicitation, who has fd00:10:244:2::, length 32',
  ADVERTISEMENT:
    'IP6 fd00:10:244:2:: > fd00:10:244:1::: ICMP6, neighbor advertisement, tgt is fd00:10:244:2::, ' +
    'Flags [router, solicited, override], length 32',
  ECHO_6_OVER_4: 'IP6 fd00:10:244:1:: > fd00:10:244:2::: ICMP6, echo request, id 21195, seq 1, length 24',
  ECHO_WITHOUT_CHECKSUM: 'IP 10.245.1.0 > 10.245.2.0: ICMP echo request, id 21196, seq 1, length 23',
  ECHO_4_OVER_6: 'IP 10.246.1.0 > 10.246.2.0: ICMP echo request, id 21197, seq 1, length 23',
  ECHO_6_OVER_6: 'IP6 fd00:10:246:1:: > fd00:10:246:2::: ICMP6, echo request, id 21198, seq 1, length 23',
  UDP_4: 'IP 10.244.1.0.40000 > 10.244.2.0.5353: UDP, length 9',
  PORT_UNREACHABLE_4: 'IP 10.244.2.0 > 10.244.1.0: ICMP 10.244.2.0 port unreachable, length 45',
  SYN_4: 'IP 10.244.1.0.40001 > 10.244.2.0.81: Flags [S], seq 4276207333, win 64860, length 0',
  RST_4: 'IP 10.244.2.0.81 > 10.244.1.0.40001: Flags [R.], seq 0, ack 4276207334, win 0, length 0',
  UDP_6: 'IP6 fd00:10:246:1::.40000 > fd00:10:246:2::.5353: UDP, length 9',
  PORT_UNREACHABLE_6:
    'IP6 fd00:10:246:2:: > fd00:10:246:1::: ICMP6, destination unreachable, unreachable port, fd00:10:246:2::, length 65',
  SYN_6: 'IP6 fd00:10:246:1::.40001 > fd00:10:246:2::.81: Flags [S], seq 3152142168, win 64390, length 0',
  TAGGED: 'IP 10.244.1.0.40000 > 10.244.2.0.5353: UDP, length 3',
  LATER_FRAGMENT_4: 'IP 10.244.1.0 > 10.244.2.0: ICMP fragment, id 23139, offset 1424, length 84',
  LATER_FRAGMENT_6: 'IP6 fd00:10:244:1:: > fd00:10:244:2::: frag (1400|108)',
};

for (const [name, bytes] of Object.entries(kernel)) {
  t.test(`kernel VXLAN, ${name}`, async t => {
    const { outer, payload, ip, at } = dissect(bytes);
    const network = VNI[outer.destinationPort]!;
    t.equal(vxlan.check(viewOf(payload), 0, payload.length, network), OK);
    const frame = payload.slice(8);
    const rebuilt = buildOuter({ ...outer, header: FORMATS.vxlan.header(network) }, frame);
    t.strictSame(rebuilt, bytes, 'buildOuter gives the same bytes, checksums included');
    const view = viewOf(bytes);
    const length = bytes.length - at;
    const isFour = outer.source.length === 4;
    const seed = isFour ? pseudo4(view, ip, 17, length) : pseudo6(view, ip, 17, length);
    if (outer.checksum) t.ok(verify(view, at, length, seed), 'the outer checksum verifies');
    else t.equal(name, 'ECHO_WITHOUT_CHECKSUM');
    if (isFour) t.ok(ipv4.isChecksumGood(view, ip));
    const overhead = bytes.length - 14 - (frame.length - 14);
    t.equal(overhead, FORMATS.vxlan.overhead(isFour ? 4 : 6), 'overhead as stated');
    t.equal(describePacket(frame, 'ethernet'), fromTcpdump(LINES[name] ?? ''));
  });
}

for (const [name, bytes] of Object.entries(kernelUdp)) {
  t.test(`kernel UDP socket, ${name}`, async t => {
    const { outer, payload } = dissect(bytes);
    t.equal(outer.destinationPort, FORMATS.udp.port);
    t.equal(FORMATS.udp.check(viewOf(payload), 0, payload.length, 0), OK);
    t.strictSame(buildOuter({ ...outer, header: FORMATS.udp.header(0) }, payload), bytes);
    t.equal(bytes.length - 14 - payload.length, FORMATS.udp.overhead(name.endsWith('4') ? 4 : 6));
    t.equal(describePacket(payload, 'ip'), fromTcpdump(LINES.TAGGED ?? ''));
    t.strictSame(
      payload,
      innerOf(kernel.TAGGED).subarray(18),
      'the inner packet is that of the VXLAN vector',
    );
  });
}

t.test('the tag of the tagged frame', async t => {
  const frame = viewOf(innerOf(kernel.TAGGED));
  t.equal(vlan.linkBytes(frame, 0, frame.byteLength), 18);
  const tag = vlan.parse(frame, 12, frame.byteLength - 12);
  t.strictSame(tag, { protocol: 0x8100, identifier: 100, priority: 3, dropEligible: false });
});
