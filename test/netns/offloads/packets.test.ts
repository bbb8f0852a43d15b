import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ALL_OFFLOADS, type OffloadSwitches } from '../../../src/dataplane/io/offloads.ts';
import type { Lab, Node } from '../../../src/lab/topology.ts';
import { allAtOnce, overlayFor, podAddress } from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { Random } from '../../fixtures/random.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { sendBurst } from '../../fixtures/traffic/send-burst.ts';

/* Traffic other than TCP: datagrams of every awkward size, alone, in bursts and as GSO packets; ICMP; fragments. */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'ping', 'ethtool');
const SWITCHES = Object.keys(ALL_OFFLOADS) as (keyof OffloadSwitches)[];
const NONE = Object.fromEntries(SWITCHES.map(name => [name, false])) as unknown as OffloadSwitches;
/** A tap test, as far as it is needed here. */
type Asserts = Pick<typeof t, 'same' | 'match'>;

const program = (name: string) => [
  process.execPath,
  fileURLToPath(new URL(`../../fixtures/traffic/${name}-program.js`, import.meta.url)),
];
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Around every boundary there is: nothing, headers, words, the MTU of each mode, several fragments, the most there is. */
const SIZES = [
  0, 1, 2, 3, 7, 8, 9, 17, 31, 63, 64, 65, 255, 256, 257, 511, 512, 513, 1023, 1200, 1201, 1393, 1394, 1401,
  1402, 1403, 1421, 1422, 1423, 1444, 1445, 1472, 1473, 2000, 4001, 9000, 20_001, 65_000, 65_507,
];
const LARGEST = { 4: 65_507, 6: 65_487 } as const;
/** Small enough that a burst of them fits a socket's buffer. */
const IN_BURSTS = SIZES.filter(size => size <= 1473);

async function datagrams(t: Asserts, { nodes }: Lab, name: string): Promise<void> {
  const [one, two] = nodes as [Node, Node];
  for (const inner of [4, 6] as const) {
    const address = podAddress(two, inner);
    const server = two.pods[0]!.ns.launch([...program('echo'), 'serve', address]);
    const [, port] = await server.saying(/^listening (\d+)$/m);
    const probe = async (burst: number, sizes: readonly number[]) => {
      const words = [address, port!, `${burst}`, ...sizes.map(String)];
      const said = await one.pods[0]!.ns.launch([...program('echo'), 'probe', ...words]).success();
      return JSON.parse(said);
    };
    const sizes = SIZES.filter(size => size <= LARGEST[inner]);
    t.same(await probe(1, sizes), {}, `${name}, IPv${inner}: ${sizes.length} sizes come back unchanged`);
    t.same(await probe(20, IN_BURSTS), {}, `${name}, IPv${inner}: and in bursts of twenty, in order`);
    await server.stop('SIGKILL');
  }
}

/** UDP GSO packets from the pod: one send of many datagrams, each of which must arrive separately. */
async function superframes(t: Asserts, { nodes }: Lab, name: string): Promise<void> {
  const [one, two] = nodes as [Node, Node];
  const shapes = [
    [1, 64, 1],
    [333, 30, 332],
    [1000, 45, 1],
    [1340, 40, 1340],
  ] as const;
  for (const inner of [4, 6] as const) {
    for (const [size, count, last] of shapes) {
      const address = podAddress(two, inner);
      const sink = two.pods[0]!.ns.launch([...program('echo'), 'collect', address, `${count}`]);
      const [, port] = await sink.saying(/^listening (\d+)$/m);
      const random = new Random(size);
      const sent = Array.from({ length: count }, (_, i) => random.bytes(i === count - 1 ? last : size));
      const from = { ns: one.pods[0]!.ns, address: podAddress(one, inner) };
      sendBurst(from, { address, port: Number(port) }, sent);
      const received = JSON.parse((await sink.success()).split('\n')[1]!);
      t.same(
        received,
        sent.map(hash),
        `${name}, IPv${inner}: ${count} datagrams of ${size} bytes in one send`,
      );
    }
  }
}

async function echoes(t: Asserts, { nodes }: Lab, name: string): Promise<void> {
  const [one, two] = nodes as [Node, Node];
  for (const inner of [4, 6] as const) {
    for (const size of [0, 1, 56, 1400, 4000, 30_001]) {
      const argv = ['ping', '-n', ...allAtOnce(3), '-W', '10', '-s', `${size}`, podAddress(two, inner)];
      t.match(
        one.pods[0]!.ns.attempt(argv).stdout,
        '3 received',
        `${name}, IPv${inner}: ping of ${size} bytes`,
      );
    }
  }
}

const VARIANTS = [
  ['vxlan', 4, 'def', ALL_OFFLOADS],
  ['vxlan', 6, 'wirecs', NONE],
  ['udp', 4, 'wirecs', NONE],
  ['udp', 6, 'wiregro', ALL_OFFLOADS],
] as const;
for (const [mode, underlay, condition, offloads] of VARIANTS) {
  const name = `${mode} over IPv${underlay}, ${condition}, offloads ${offloads === NONE ? 'off' : 'on'}`;
  t.test(name, { skip }, async t => {
    const lab = labFor(t);
    lab.condition(condition);
    await overlayFor(t, lab, { mode, underlay, offloads });
    await datagrams(t, lab, mode);
    await superframes(t, lab, mode);
    await echoes(t, lab, mode);
  });
}
