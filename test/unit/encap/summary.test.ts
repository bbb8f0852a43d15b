import t from 'tap';
import { viewOf } from '../../../encap/wire/addresses.ts';
import { summarizeEthernet, summarizeIp } from '../../../encap/wire/summary.ts';
import { innerOf } from '../../vectors/datagrams.ts';
import { hex } from '../../vectors/hex.ts';
import * as icmp from '../../vectors/kernel-icmp.ts';
import * as kernel from '../../vectors/kernel-vxlan.ts';

const ethernet = (bytes: Uint8Array) => summarizeEthernet(viewOf(bytes), 0, bytes.length);
const ip = (bytes: Uint8Array) => summarizeIp(viewOf(bytes), 0, bytes.length);

t.test('ICMP errors name what they are about, in tcpdump’s words', async t => {
  t.equal(
    ethernet(icmp.HOST_UNREACHABLE),
    'IP 192.0.2.2 > 192.0.2.1: ICMP host 198.51.100.7 unreachable, length 52',
  );
  t.equal(
    ethernet(icmp.FRAGMENTATION_NEEDED),
    'IP 192.0.2.2 > 192.0.2.1: ICMP 203.0.113.7 unreachable - need to frag (mtu 600), length 556',
  );
  t.equal(
    ethernet(icmp.ADDRESS_UNREACHABLE),
    'IP6 2001:db8::2 > 2001:db8::1: ICMP6, destination unreachable, unreachable address 2001:db8:1::7, length 72',
  );
  t.equal(
    ethernet(icmp.PACKET_TOO_BIG),
    'IP6 2001:db8::2 > 2001:db8::1: ICMP6, packet too big, mtu 1300, length 1240',
  );
});

t.test('what is wrong stands in square brackets', async t => {
  t.equal(ethernet(new Uint8Array(0)), '[ethernet header cut short or tagged too often, 0 bytes]');
  t.equal(ip(new Uint8Array(0)), '[empty packet]');
  t.equal(ip(hex('50')), '[IP version 5, 1 bytes]');
  t.equal(ip(hex('4500')), 'IP [bad header, 2 bytes]');
  t.equal(ip(hex('60')), 'IP6 [bad header, 1 bytes]');
  const syn = innerOf(kernel.SYN_4).slice(14);
  syn[32] = 0xf0;
  t.equal(ip(syn), 'IP 10.244.1.0 > 10.244.2.0: TCP [bad header], length 40');
  const datagram = innerOf(kernel.UDP_4).slice(14);
  datagram[25] = 18;
  t.equal(ip(datagram), 'IP 10.244.1.0 > 10.244.2.0: UDP [bad header], length 17');
});

t.test('a first fragment is shown like the whole, also when its UDP length is that of the whole', async t => {
  const datagram = innerOf(kernel.UDP_4).slice(14);
  datagram[6] = 0x20;
  datagram[24] = 0x10;
  t.equal(ip(datagram), 'IP 10.244.1.0.40000 > 10.244.2.0.5353: UDP, length 4105');
  const six = innerOf(kernel.UDP_6).slice(14);
  const fragment = new Uint8Array(six.length + 8);
  fragment.set(six.subarray(0, 40));
  fragment.set([17, 0, 0, 1, 0, 0, 0, 9], 40);
  fragment.set(six.subarray(40), 48);
  fragment[5] = six[5]! + 8;
  fragment[6] = 44;
  fragment[52] = 0x10;
  t.equal(ip(fragment), 'IP6 fd00:10:246:1::.40000 > fd00:10:246:2::.5353: UDP, length 4105');
});

t.test('other protocols and types by name or number', async t => {
  const packet = innerOf(kernel.UDP_4).slice(14);
  packet[9] = 132;
  t.equal(ip(packet), 'IP 10.244.1.0 > 10.244.2.0: sctp, length 17');
  packet[9] = 200;
  t.equal(ip(packet), 'IP 10.244.1.0 > 10.244.2.0: ip-proto-200, length 17');
  t.equal(
    ethernet(hex('0180c2000000 020000000002 0026 424203')),
    '02:00:00:00:00:02 > 01:80:c2:00:00:00, 802.3 length 38, length 17',
  );
  t.equal(
    ethernet(hex('ffffffffffff 020000000002 88cc 00')),
    '02:00:00:00:00:02 > ff:ff:ff:ff:ff:ff, ethertype 0x88cc, length 15',
  );
});
