import t from 'tap';
import { DESC_VERDICT } from '../../../src/dataplane/descriptor/descriptor.ts';
import { FORWARD } from '../../../src/dataplane/descriptor/verdicts.ts';
import type { Namespace } from '../../../src/lab/namespace.ts';
import { native } from '../../../src/native/load.ts';
import { loadFlowSteering } from '../../../src/net/bpf/flow-steering.ts';
import { namespaceFor } from '../../fixtures/lab.ts';
import { type Random, seeded } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { ethernet, etherType, ip, put } from '../../fixtures/traffic/datagrams.ts';
import { inject } from '../../fixtures/traffic/inject.ts';

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'cc');

const QUEUES = 3;
const FLAGS = { tun: 0x1 | 0x1000 | 0x4000 | 0x100, tap: 0x2 | 0x1000 | 0x4000 | 0x100 } as const;
const VNET_BYTES = 12;

interface Sent {
  packet: Uint8Array;
  /** Bytes that the queue depends on, as words of four bytes behind the protocol. */
  flow: [protocol: number, ...words: Uint8Array[]];
  tags: number[];
}

/** The hash of the program, written down with whole numbers. */
function queueOf([protocol, ...words]: Sent['flow']): number {
  const factor = 0x9e3779b1n - (1n << 32n);
  let hash = BigInt(protocol);
  for (const bytes of words)
    for (let at = 0; at < bytes.length; at += 4) {
      const word = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true);
      hash = BigInt.asUintN(64, hash * factor + BigInt(word));
    }
  return Number((BigInt.asUintN(64, hash * factor) >> 48n) % BigInt(QUEUES));
}

function anyPacket(random: Random, kind: 'tap' | 'tun'): Sent {
  const six = random.chance(0.5);
  const one = () =>
    six
      ? `fd00:10:244:${random.below(3)}::${random.below(9)}`
      : `10.244.${random.below(3)}.${random.below(9)}`;
  const protocol = random.pick([6, 17, 132, 1, 58, 50]);
  const ports = Uint8Array.of(random.below(2), random.below(256), 0, random.below(4));
  let packet = ip(one(), one(), protocol, put(random.bytes(28), 0, ...ports));
  const options = !six && random.chance(0.2);
  if (options) {
    const head = put(packet.subarray(0, 20), 0, 0x46);
    packet = Uint8Array.from([...put(head, 2, 0, 52), 1, 1, 1, 1, ...packet.subarray(20)]);
  }
  const fragment = !six && random.chance(0.3);
  // The first fragment has ports as well, the others have not.
  if (fragment) packet = put(packet, 6, random.pick([0x20, 0x00]), random.between(1, 255));
  const hasPorts = !fragment && [6, 17, 132].includes(protocol);
  const addresses = six ? packet.slice(8, 40) : packet.slice(12, 20);
  const tags = kind === 'tap' ? Array.from({ length: random.below(3) }, () => random.between(1, 4094)) : [];
  return { packet, flow: [protocol, addresses, ...(hasPorts ? [ports] : [])], tags };
}

/** Everything that waits in a queue, without the virtio-net header. */
function drain(queue: number): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const slab = new Uint8Array(64 * 70_000);
  const table = new Int32Array(64 * 64);
  for (;;) {
    const count = native.tunRead(queue, slab, table, 1, 0);
    if (count <= 0) return frames;
    const [offset = 0, length = 0] = table;
    frames.push(slab.slice(offset, offset + length));
  }
}

function openQueues(ns: Namespace, kind: 'tap' | 'tun', close: (undo: () => void) => void): number[] {
  const queues = Array.from({ length: QUEUES }, () => native.tunOpen(ns.path, 'q0', FLAGS[kind]));
  close(() => {
    for (const fd of queues) native.closeFd(fd);
  });
  ns.ip('link set q0 txqueuelen 10000 up');
  ns.sysctl('net.ipv6.conf.q0.disable_ipv6=1');
  for (const queue of queues) drain(queue);
  return queues;
}

for (const kind of ['tap', 'tun'] as const)
  t.test(`${kind}: the queue of a frame follows from its flow alone`, { skip }, async t => {
    const random = seeded(t);
    const ns = namespaceFor(t);
    const queues = openQueues(ns, kind, undo => t.teardown(undo));
    const program = loadFlowSteering(kind);
    t.equal(native.tunSetSteering(queues[0]!, program), 0);
    native.closeFd(program);

    const all = Array.from({ length: 600 }, () => anyPacket(random, kind));
    const framed = ({ packet, tags }: Sent) =>
      kind === 'tun'
        ? packet
        : ethernet('02:00:00:00:00:01', '02:00:00:00:00:02', etherType(packet), packet, ...tags);
    const byType = (six: boolean) => all.filter(({ packet }) => (packet[0]! >> 4 === 6) === six);
    const text = (frame: Uint8Array) => Buffer.from(frame).toString('hex');
    const wanted = queues.map((): string[] => []);
    for (const six of [false, true]) {
      const sent = byType(six);
      inject(ns, 'q0', sent.map(framed), { type: six ? 0x86dd : 0x0800 });
      for (const one of sent) wanted[queueOf(one.flow)]!.push(text(framed(one)));
    }
    const got = queues.map(queue => drain(queue).map(text));
    t.strictSame(got, wanted, 'each frame, in the order it was sent');
    t.ok(
      got.every(frames => frames.length > all.length / QUEUES / 2),
      `spread: ${got.map(({ length }) => length).join(', ')}`,
    );

    const odd = [
      Uint8Array.of(0x45),
      new Uint8Array(60),
      Uint8Array.of(0x4f, ...new Uint8Array(30)),
      Uint8Array.of(0x60, ...new Uint8Array(20)),
    ];
    inject(
      ns,
      'q0',
      kind === 'tun'
        ? odd
        : odd.map(packet => ethernet('02:00:00:00:00:01', '02:00:00:00:00:02', 0x800, packet)),
    );
    t.equal(
      queues.map(queue => drain(queue).length).reduce((a, b) => a + b),
      odd.length,
      'no frame is lost',
    );
  });

t.test('without the program the kernel moves a flow to the queue of its answers', { skip }, async t => {
  const ns = namespaceFor(t);
  const queues = openQueues(ns, 'tun', undo => t.teardown(undo));
  const there = ip('10.244.1.2', '10.244.2.2', 17, Uint8Array.of(1, 0, 2, 0, 0, 8, 0, 0));
  const back = ip('10.244.2.2', '10.244.1.2', 17, Uint8Array.of(2, 0, 1, 0, 0, 8, 0, 0));
  const place = () => {
    inject(ns, 'q0', [there]);
    return queues.findIndex(queue => drain(queue).length > 0);
  };
  const answerThrough = (queue: number) => {
    const slab = new Uint8Array(4096);
    slab.set(back, VNET_BYTES + 128);
    const table = new Int32Array(64);
    table.set([VNET_BYTES + 128, back.length]);
    table[DESC_VERDICT] = FORWARD;
    native.tunWrite(queues[queue]!, slab, table, 1, 0, 1500, 1500, new Int32Array(16));
  };
  for (const queue of [0, 1, 2, 0]) {
    answerThrough(queue);
    t.equal(place(), queue);
  }
  const program = loadFlowSteering('tun');
  for (const queue of queues) t.equal(native.tunSetSteering(queue, program), 0);
  native.closeFd(program);
  const steered = place();
  for (const queue of [0, 1, 2]) {
    answerThrough(queue);
    t.equal(place(), steered, `an answer through queue ${queue}`);
  }
  t.equal(native.tunSetSteering(queues[0]!, -1), 0);
  answerThrough((steered + 1) % QUEUES);
  t.equal(place(), (steered + 1) % QUEUES, 'and does so again without it');
  const counter = native.bpfProgram(Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0), 3);
  t.teardown(() => native.closeFd(counter));
  t.ok(native.tunSetSteering(queues[0]!, counter) < 0, 'a program of another type is refused');
});
