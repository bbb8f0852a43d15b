import t, { type Test } from 'tap';
import { PATIENCE_MS, until } from '../../../src/lab/until.ts';
import { native } from '../../../src/native/load.ts';
import { FRAME_WORDS, FrameSocket, type PassedFrame } from '../../../src/net/packet/frame-socket.ts';
import { findLink } from '../../../src/net/rtnetlink/links.ts';
import { NetlinkSocket } from '../../../src/net/rtnetlink/socket.ts';
import { namespaceFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { inject } from '../../fixtures/traffic/inject.ts';

const skip = skipUnless('root', 'netns', 'ip', 'ping', 'cc');

/** A veth between two namespaces, and a socket at the end of the first. */
function veth(t: Test, snapLength = 0, bufferBytes = 1 << 20) {
  const [node, pod] = [namespaceFor(t), namespaceFor(t)];
  // Nothing passes by itself.
  for (const ns of [node, pod]) ns.sysctl('net.ipv6.conf.default.disable_ipv6=1');
  node.ip(
    `link add veth1 type veth peer name eth0 netns ${pod.name}`,
    'addr add 10.9.0.1/24 dev veth1',
    'link set veth1 up',
  );
  pod.ip('addr add 10.9.0.2/24 dev eth0', 'link set eth0 up');
  const netlink = new NetlinkSocket({ netns: node.path });
  const { index } = findLink(netlink, 'veth1')!;
  netlink.close();
  const socket = new FrameSocket(node.path, index, snapLength, bufferBytes);
  t.teardown(() => socket.close());
  const frames: PassedFrame[] = [];
  const take = () => {
    for (let some = socket.read(); some.length > 0; some = socket.read()) frames.push(...some);
    return frames;
  };
  return { node, pod, socket, frames, take };
}

/** EtherType, after the tag of a tagged frame. */
const typeOf = ({ bytes }: Pick<PassedFrame, 'bytes'>, at = 12) => (bytes[at]! << 8) | bytes[at + 1]!;

t.test('the words of a frame are those of the addon', async t => {
  t.strictSame({ ...native.constants.capture }, FRAME_WORDS);
});

t.test('both directions, times, lengths and tags', { skip }, async t => {
  const { pod, take } = veth(t, 60);
  const before = BigInt(Date.now()) * 1_000_000n;
  pod.must(['ping', '-c', '1', '-W', '10', '10.9.0.1']);
  const pings = take().filter(frame => typeOf(frame) === 0x0800);
  t.strictSame(
    pings.map(({ isOutgoing, bytes, length }) => [isOutgoing, bytes.length, length]),
    [
      [false, 60, 98],
      [true, 60, 98],
    ],
  );
  for (const { time } of pings)
    t.ok(time >= before - 1_000_000n && time <= before + BigInt(PATIENCE_MS) * 1_000_000n);
  const tag = [0x81, 0x00, 0xa0, 0x05];
  const frame = Uint8Array.from([...Array(12).fill(0xff), ...tag, 0x08, 0x00, ...Array(60).fill(7)]);
  inject(pod, 'eth0', [frame], { type: 0x8100 });
  const tagged = await until('the tagged frame', () => take().find(one => typeOf(one) === 0x8100));
  t.strictSame([...tagged!.bytes], [...frame.subarray(0, 64)], 'the snap length and the tag');
  t.equal(tagged!.length, frame.length);
});

t.test('in a flood: what is read and what is lost is what passed the interface', { skip }, async t => {
  const { node, pod, socket, frames, take } = veth(t, 64, 16_384);
  const passedOf = () => {
    const [{ stats64 }] = JSON.parse(node.must(['ip', '-j', '-s', 'link', 'show', 'veth1']));
    return stats64.rx.packets + stats64.tx.packets;
  };
  // The neighbours are known afterwards.
  pod.must(['ping', '-c', '1', '-W', '10', '10.9.0.1']);
  take();
  socket.statistics();
  frames.length = 0;
  const before = passedOf();
  pod.must(['ping', '-q', '-f', '-c', '2000', '-l', '50', '-W', '10', '10.9.0.1']);
  let [passed, lost] = [0, 0];
  await until('the interface is quiet', () => {
    const seen = passedOf();
    take();
    const counts = socket.statistics();
    passed += counts.passed;
    lost += counts.lost;
    if (passed !== seen - before) throw new Error(`${passed} passed, ${seen - before} counted, ${lost} lost`);
    return passed === passedOf() - before;
  });
  t.ok(lost > 0, 'the buffer is small');
  t.equal(frames.length + lost, passed);
});

t.test('after a stop nothing more comes, and what was there is read', { skip }, async t => {
  const { pod, socket, take } = veth(t);
  pod.must(['ping', '-c', '1', '-W', '10', '10.9.0.1']);
  socket.stop();
  const { passed } = socket.statistics();
  pod.must(['ping', '-c', '3', '-i', '0.2', '-W', '10', '10.9.0.1']);
  t.equal(take().length, passed);
  t.strictSame(socket.statistics(), { passed: 0, lost: 0 });
});

t.test('a GSO packet comes whole, with its fields', { skip }, async t => {
  const { node, pod, take } = veth(t);
  const serve = `require('node:net').createServer(s => s.resume().on('end', () => process.exit())).listen(9, '10.9.0.1', () => console.log('listening'))`;
  const server = node.launch([process.execPath, '-e', serve]);
  await server.saying(/listening/);
  pod.must([process.execPath, '-e', `require('node:net').connect(9, '10.9.0.1').end(Buffer.alloc(1e6))`]);
  await server.success();
  const large = take().filter(({ offload }) => offload.gsoSize > 0);
  t.ok(large.length > 0);
  for (const { bytes, length, offload } of large) {
    t.equal(bytes.length, length);
    t.match(offload, { gsoType: 1, csumStart: 34, csumOffset: 16 });
  }
});

t.test('an interface that went away is told once, and its last frames are read', { skip }, async t => {
  const { node, pod, socket } = veth(t);
  pod.must(['ping', '-c', '1', '-W', '10', '10.9.0.1']);
  node.ip('link del veth1');
  t.throws(() => socket.read(), { code: 'ENETDOWN' });
  t.ok(socket.read().length >= 2);
});
