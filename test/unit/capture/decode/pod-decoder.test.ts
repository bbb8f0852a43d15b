import t from 'tap';
import { PodDecoder, type PodFrame } from '../../../../src/capture/decode/pod-decoder.ts';
import { PodNames } from '../../../../src/capture/live/pods.ts';
import { NO_LOSSES } from '../../../../src/capture/live/record.ts';
import { ethernet, ip, tcp, V4 } from '../fixtures/frames.ts';

const since = '1970-01-01T00:00:00.000Z';
const until = '1970-01-01T00:00:01.000Z';
const pods = new PodNames([
  { address: '10.244.1.5', namespace: 'default', name: 'web-1', since, until },
  { address: '10.244.1.5', namespace: 'default', name: 'web-2', since: until, until: null },
]);
const veths = [
  { name: 'default/web-1', hostLink: 'veth1', ifname: 'eth0', index: 7 },
  { name: 'default/db-1', hostLink: 'veth2', ifname: 'eth0', index: 8 },
];
const payload = new Uint8Array(3000);
const bytes = ethernet(ip(V4, 6, tcp({ from: 40000, to: 80, sequence: 1, flags: 0x18 }, payload, V4)));
const frame: PodFrame = {
  ...{ veth: 0, isFromPod: true, time: 500_000_000n, bytes, length: bytes.length, lost: NO_LOSSES },
  offload: { flags: 1, gsoType: 1, gsoSize: 1400, csumStart: 34, csumOffset: 16 },
};
const decoder = (segments: boolean, snapLength = 0) =>
  new PodDecoder(veths, { snapLength, segments, filter: 'tcp', pods });

t.test('a frame has the veth, the direction as the pod sees it, and the pod of its time', async t => {
  const one = decoder(false, 100);
  t.match(one.interfaces, [
    { name: 'default/web-1', description: /^veth1, the node's end of eth0/, link: 1, filter: 'tcp' },
    { name: 'default/db-1' },
  ]);
  const [packet] = one.packets(frame);
  t.match(packet, { interface: 0, direction: 'out', length: bytes.length });
  t.equal(packet?.bytes.length, 100);
  t.match(packet?.comments, [
    'from the pod',
    'pods default/web-1 > -',
    /^GSO packet of 3 segments, 1400 bytes/,
  ]);
  const later = { ...frame, veth: 1, isFromPod: false, time: 2_000_000_000n };
  t.match(one.packets(later), [
    { interface: 1, direction: 'in', comments: ['to the pod', 'pods default/web-2 > -'] },
  ]);
});

t.test('segments are those on the wire', async t => {
  const packets = decoder(true).packets(frame);
  t.strictSame(
    packets.map(({ length }) => length),
    [1466, 1466, 266].map(length => length + bytes.length - 3066),
  );
  t.match(packets[0]?.comments, { length: 2 });
});

t.test('a loss without a frame is of its veth and shows no packet', async t => {
  const loss = { ...frame, veth: 1, length: 0, lost: { all: 5, forwarded: 0, dropped: 0 } };
  t.strictSame(decoder(false).lost(loss), [{ interface: 1, packets: 5 }]);
  t.strictSame(decoder(false).shown(loss), []);
  t.strictSame(decoder(false).lost(frame), []);
  t.strictSame(decoder(false).shown(frame), [0]);
});
