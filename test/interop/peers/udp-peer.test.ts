import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Family } from '../../../encap/encap.ts';
import type { Node } from '../../../src/lab/topology.ts';
import { until } from '../../../src/lab/until.ts';
import {
  counted,
  DEVICE,
  deployRipstop,
  overlayMtu,
  PORT,
  podAddress,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { Random } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { captureFrames } from '../../fixtures/traffic/capture-frames.ts';
import * as wire from '../../fixtures/traffic/datagrams.ts';
import { inject, packetsOf } from '../../fixtures/traffic/inject.ts';

/*
 * flannel's udp format byte for byte. Node 1 is Ripstop; node 2 is a program of twenty lines that prints what comes to
 * port 8285 and sends what it is told to: the UDP payload is the inner IP packet, nothing before it, nothing behind it,
 * no byte of it changed.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'cc', 'tcpdump');
const PROGRAM = fileURLToPath(new URL('../../fixtures/traffic/udp-peer-program.js', import.meta.url));
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** The peer's process and what it has said. */
class Peer {
  readonly #child: ChildProcess;
  #said = '';

  constructor({ ns, underlay }: Node, to: Node, family: Family) {
    const [command, ...args] = ns.argv([
      process.execPath,
      PROGRAM,
      underlay[family],
      `${PORT.udp}`,
      to.underlay[family],
    ]);
    this.#child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
    });
  }

  ready() {
    return until('the peer', () => this.#said.startsWith('ready\n'));
  }

  /** What came since the last call, when it is `count` datagrams: source port and payload. */
  async heard(count: number): Promise<string[]> {
    const lines = await until<string[] | undefined>(`${count} datagrams`, () => {
      const all = this.#said.split('\n').slice(1, -1);
      return all.length >= count ? all : undefined;
    });
    this.#said = 'ready\n';
    return lines ?? [];
  }

  send(packets: readonly Uint8Array[]): void {
    this.#child.stdin!.write(packets.map(packet => `${hex(packet)}\n`).join(''));
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Packets of one family, from `from` to `to`, of every kind that a pod sends. */
function packets(from: string, to: string, most: number): Uint8Array[] {
  const random = new Random(8285);
  const room = most - (wire.isIpv6(from) ? 40 : 20);
  return [
    wire.echoReply(from, to, 0),
    wire.echoReply(from, to, 1),
    wire.echoReply(from, to, room - 8),
    wire.tcp(from, to, { sequence: 1, payload: new Uint8Array(0) }),
    wire.tcp(from, to, { sequence: 7, payload: random.bytes(333) }),
    wire.ip(from, to, 132, random.bytes(room)),
    wire.ip(from, to, 253, random.bytes(1)),
    wire.ip(from, to, 17, wire.join(Uint8Array.of(1, 2, 3, 4, 0, 58, 0xab, 0xcd), random.bytes(50))),
  ];
}

for (const underlay of [4, 6] as const) {
  t.test(`packets cross unchanged, underlay IPv${underlay}`, { skip }, async t => {
    const lab = labFor(t);
    const [ours, theirs] = lab.nodes as [Node, Node];
    const plane = await deployRipstop(ours, [theirs], { mode: 'udp', underlay });
    t.teardown(() => plane.stop());
    const peer = new Peer(theirs, ours, underlay);
    t.teardown(() => peer.stop());
    await peer.ready();
    // No process answers what comes in: the peer must receive only what the test sends.
    ours.ns.ip(`route add blackhole ${podAddress(ours, 4)}`, `route add blackhole ${podAddress(ours, 6)}`);
    for (const inner of [4, 6] as const) {
      const type = inner === 4 ? 0x0800 : 0x86dd;
      const [own, far] = [podAddress(ours, inner), podAddress(theirs, inner)];
      const most = overlayMtu('udp', underlay);
      const out = packets(own, far, most);
      inject(ours.ns, DEVICE.udp, out, { type });
      const expected = out.map(packet => `${PORT.udp} ${hex(packet)}`);
      t.same(
        await peer.heard(out.length),
        expected,
        `IPv${inner} out: the payload is the packet, from port 8285`,
      );

      const back = packets(far, own, most);
      const goal = counted(plane, 'forward') + back.length;
      const file = await captureFrames(ours.ns, DEVICE.udp, { direction: 'in' }, async () => {
        peer.send(back);
        await until('the packets', () => counted(plane, 'forward') >= goal);
      });
      // Segments wait for others of their flow within a batch, so only flows keep their order, not the whole.
      t.same(
        packetsOf(file).map(hex).sort(),
        back.map(hex).sort(),
        `IPv${inner} in: what was sent comes out of the device`,
      );

      // A GSO packet: 9 segments of 1000 bytes and one of 500, each the packet that the kernel would have made.
      const payload = new Random(inner).bytes(9500);
      const whole = wire.tcp(own, far, { sequence: 100, payload, checksum: 'unfinished' });
      const l4 = inner === 4 ? 20 : 40;
      const offload = {
        gsoType: inner === 4 ? 1 : 4,
        gsoSize: 1000,
        headerBytes: l4 + 20,
        checksumStart: l4,
        checksumOffset: 16,
      };
      inject(ours.ns, DEVICE.udp, [whole], { offload, type });
      const segments = Array.from({ length: 10 }, (_, i) => {
        const part = payload.subarray(i * 1000, i * 1000 + 1000);
        const packet = wire.tcp(own, far, { sequence: 100 + i * 1000, payload: part });
        return inner === 4 ? numbered(packet, i) : packet;
      });
      const sent = segments.map(packet => `${PORT.udp} ${hex(packet)}`);
      t.same(await peer.heard(10), sent, `IPv${inner}: a GSO packet leaves as separate packets`);
    }
  });
}

/** With another IPv4 identification, which counts up from segment to segment. */
function numbered(packet: Uint8Array, id: number): Uint8Array {
  const bare = wire.put(wire.put(packet, 4, id >> 8, id & 255), 10, 0, 0);
  const sum = ~wire.sum(bare.slice(0, 20)) & 0xffff;
  return wire.put(bare, 10, sum >> 8, sum & 255);
}
