import t from 'tap';
import { describePacket } from '../../../../src/capture/decode/text.ts';
import { ethernet, ip, joined, tcp, udp, V4, V6, vxlan } from '../fixtures/frames.ts';

/* What a snap length cut off is told apart from what is broken, and no address is made of missing bytes. */

const segment = (ends: typeof V4) =>
  ip(ends, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 2 }, new Uint8Array(40), ends));
const cut = (bytes: Uint8Array, snap: number, overlay?: { mode: 'vxlan' | 'udp'; port: number }) =>
  describePacket(bytes.subarray(0, snap), 'ethernet', { length: bytes.length, overlay });

t.test('every snap length: complete headers as they are, others as cut', async t => {
  const frame = ethernet(segment(V4));
  t.equal(cut(frame, 10), 'Ethernet, cut short');
  t.equal(cut(frame, 14), 'IP, cut short');
  t.equal(cut(frame, 30), 'IP, cut short');
  t.equal(cut(frame, 34), '10.244.1.5 > 10.244.2.9: TCP, cut short');
  t.match(cut(frame, 66), /^10\.244\.1\.5\.40000 > 10\.244\.2\.9\.80: TCP Flags \[S\]/);
  t.equal(cut(ethernet(segment(V6)), 50), 'IP, cut short');
  const options = joined([6, 0, 1, 4, 0, 0, 0, 0], udp(1, 2, new Uint8Array(9), V6));
  t.equal(cut(ethernet(ip(V6, 60, options)), 58), 'fd00:1::5 > fd00:2::9: extension headers, cut short');
});

t.test('a datagram: the inner headers', async t => {
  const datagram = vxlan(ethernet(segment(V4)), 1);
  const overlay = { mode: 'vxlan', port: 8472 } as const;
  const outer = '192.0.2.1.50000 > 192.0.2.2.8472: ';
  t.equal(cut(datagram, 46, overlay), `${outer}VXLAN, cut short`);
  t.equal(cut(datagram, 64, overlay), `${outer}VXLAN, flags [I] (0x08), vni 1 | IP, cut short`);
  t.notMatch(
    Array.from({ length: datagram.length }, (_, snap) => cut(datagram, snap, overlay)).join('\n'),
    /0\.0\.0\.0|not an IP packet|too short/,
  );
});
