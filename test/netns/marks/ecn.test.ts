import t, { type Test } from 'tap';
import type { Family } from '../../../encap/encap.ts';
import type { DataPlane } from '../../../src/dataplane/dataplane.ts';
import { type Lab, type Node, UNDERLAY_DEVICE } from '../../../src/lab/topology.ts';
import {
  counted,
  DEVICE,
  deployKernelVxlan,
  type KernelWish,
  type OverlayWish,
  overlayFor,
} from '../../fixtures/agents/overlay.ts';
import { labFor } from '../../fixtures/lab.ts';
import { skipUnless } from '../../fixtures/skip-unless.ts';
import { sum } from '../../fixtures/traffic/datagrams.ts';
import {
  Arrivals,
  classOf,
  frameOf,
  innerPacket,
  outerPacket,
  packetOf,
  sendInner,
  sendOuter,
  type Way,
} from './fixtures/marks.ts';

/*
 * Congestion marks through the tunnel (RFC 6040), for every pair of inner and outer field, in both modes and over both
 * families, next to the kernel's VXLAN, which is asked in the same way.
 */

const skip = skipUnless('root', 'netns', 'tun', 'ip', 'bridge', 'vxlan');

const NAMES = ['not-ECT', 'ECT(1)', 'ECT(0)', 'CE'] as const;
const FIELDS = [0, 1, 2, 3] as const;
/** A DSCP: expedited forwarding (RFC 3246). */
const EF = 0xb8;
const LAST = 200;
/** Bytes of payload of the packet of a pair. */
const lengthOf = (inner: number, outer: number) => 32 + inner * 4 + outer;

/** Figure 4 of RFC 6040: by inner field, the result by outer field not-ECT, ECT(1), ECT(0), CE. */
const FIGURE_4 = {
  'not-ECT': ['not-ECT', 'not-ECT', 'not-ECT', 'dropped'],
  'ECT(1)': ['ECT(1)', 'ECT(1)', 'ECT(1)', 'CE'],
  'ECT(0)': ['ECT(0)', 'ECT(1)', 'ECT(0)', 'CE'],
  CE: ['CE', 'CE', 'CE', 'CE'],
};

/** Payload bytes of an echo reply of a run. */
const payloadOf = (packet: Uint8Array) => packet.length - (packet[0]! >> 4 === 4 ? 20 : 40) - 8;
const isLastOf = (packet: Uint8Array | undefined) => packet !== undefined && payloadOf(packet) === LAST;

/** What is delivered for each pair of fields. The DSCP inside stays, the checksum of an IPv4 header is right. */
async function delivered(t: Test, way: Way) {
  const arrivals = new Arrivals(t, way.to.ns, DEVICE[way.mode]);
  const pairs = FIELDS.flatMap(inner => FIELDS.map(outer => ({ inner, outer })));
  sendOuter(way, [
    ...pairs.map(({ inner, outer }) => ({
      trafficClass: outer,
      frame: frameOf(way, packetOf(way, lengthOf(inner, outer), EF | inner)),
    })),
    { trafficClass: 0, frame: frameOf(way, packetOf(way, LAST, 0)) },
  ]);
  const frames = await arrivals.until(frame => isLastOf(innerPacket(way.mode, frame)));
  const packets = frames.map(frame => innerPacket(way.mode, frame)).filter(packet => packet !== undefined);
  for (const packet of packets) {
    if (packet[0]! >> 4 === 4) t.equal(sum(packet.subarray(0, 20)), 0xffff, 'the header checksum is right');
    if (!isLastOf(packet)) t.equal(classOf(packet) & ~3, EF, 'the DSCP is the one inside');
  }
  return Object.fromEntries(
    FIELDS.map(inner => [
      NAMES[inner],
      FIELDS.map(outer => {
        const packet = packets.find(each => payloadOf(each) === lengthOf(inner, outer));
        return packet ? NAMES[classOf(packet) & 3] : 'dropped';
      }),
    ]),
  );
}

/** Traffic class of the outer header for each inner field with a DSCP, and what is delivered then. */
async function sent(t: Test, way: Way) {
  const onWire = new Arrivals(t, way.to.ns, UNDERLAY_DEVICE);
  const arrivals = new Arrivals(t, way.to.ns, DEVICE[way.mode]);
  const lengths = FIELDS.map(inner => lengthOf(inner, 0));
  sendInner(way, [
    ...FIELDS.map(inner => frameOf(way, packetOf(way, lengthOf(inner, 0), EF | inner))),
    frameOf(way, packetOf(way, LAST, 0)),
  ]);
  const inside = (bytes: Uint8Array) => {
    const found = outerPacket(way, bytes);
    return found && innerPacket(way.mode, found.frame);
  };
  const wire = await onWire.until(bytes => isLastOf(inside(bytes)));
  const frames = await arrivals.until(frame => isLastOf(innerPacket(way.mode, frame)));
  return {
    outer: lengths.map(length => {
      const found = wire.find(bytes => {
        const packet = inside(bytes);
        return packet && payloadOf(packet) === length;
      });
      return found ? classOf(outerPacket(way, found)!.outer) : 'none';
    }),
    inner: lengths.map(length => {
      const packet = frames
        .map(frame => innerPacket(way.mode, frame))
        .find(each => each && payloadOf(each) === length);
      return packet ? classOf(packet) : 'none';
    }),
  };
}

interface Observed {
  delivered: Awaited<ReturnType<typeof delivered>>;
  sent: Awaited<ReturnType<typeof sent>>;
}

async function observe(
  t: Test,
  lab: Lab,
  way: Pick<Way, 'mode' | 'underlay'>,
): Promise<Record<Family, Observed>> {
  const [from, to] = lab.nodes as [Node, Node];
  for (const { ns } of lab.nodes)
    ns.sysctl(`net.ipv6.conf.${DEVICE[way.mode].replaceAll('.', '/')}.disable_ipv6=0`);
  const seen = {} as Record<Family, Observed>;
  for (const inner of [4, 6] as const) {
    const whole = { ...way, from, to, inner };
    seen[inner] = { delivered: await delivered(t, whole), sent: await sent(t, whole) };
  }
  return seen;
}

async function byKernel(t: Test, lab: Lab, wish: KernelWish) {
  const [one, two] = lab.nodes as [Node, Node];
  const removals = [deployKernelVxlan(one, [two], wish), deployKernelVxlan(two, [one], wish)];
  const seen = await observe(t, lab, { mode: 'vxlan', underlay: wish.underlay ?? 4 });
  for (const remove of removals) remove();
  return seen;
}

async function byRipstop(
  t: Test,
  lab: Lab,
  wish: OverlayWish & Pick<Way, 'mode' | 'underlay'>,
  look: (planes: DataPlane[]) => void = () => {},
) {
  const planes = await overlayFor(t, lab, wish);
  const seen = await observe(t, lab, wish);
  look(planes);
  await Promise.all(planes.map(plane => plane.stop()));
  return seen;
}

for (const underlay of [4, 6] as const)
  t.test(
    `congestion marks over IPv${underlay}, as RFC 6040 and the kernel's VXLAN have them`,
    { skip },
    async t => {
      const lab = labFor(t);
      const kernel = await byKernel(t, lab, { underlay });
      for (const mode of ['vxlan', 'udp'] as const) {
        const ripstop = await byRipstop(t, lab, { mode, underlay }, ([, two]) =>
          t.equal(counted(two!, 'bad-ecn'), 2, `${mode}: one refusal per inner family, with a name`),
        );
        for (const inner of [4, 6] as const) {
          const name = `${mode}, inner IPv${inner}`;
          t.strictSame(ripstop[inner].delivered, FIGURE_4, `${name}: every pair as in figure 4`);
          t.strictSame(
            ripstop[inner].delivered,
            kernel[inner].delivered,
            `${name}: every pair as the kernel`,
          );
          t.strictSame(
            ripstop[inner].sent.outer,
            [0, 1, 2, 3],
            `${name}: the outer field is the inner one, without DSCP`,
          );
          t.strictSame(
            ripstop[inner].sent.inner,
            [EF, EF | 1, EF | 2, EF | 3],
            `${name}: nothing changes on the way`,
          );
          t.strictSame(
            ripstop[inner].sent.inner,
            kernel[inner].sent.inner,
            `${name}: delivered as by the kernel`,
          );
        }
      }
      for (const inner of [4, 6] as const)
        t.strictSame(
          kernel[inner].sent.outer,
          [0, 1, 2, 2],
          'the kernel sends ECT(0) outside for CE inside (decision 0150)',
        );
    },
  );

for (const underlay of [4, 6] as const)
  t.test(`the DSCP is copied out over IPv${underlay} where that is asked for`, { skip }, async t => {
    const lab = labFor(t);
    const kernel = await byKernel(t, lab, { underlay, words: 'tos inherit' });
    for (const mode of ['vxlan', 'udp'] as const) {
      const ripstop = await byRipstop(t, lab, { mode, underlay, copyDscp: true });
      for (const inner of [4, 6] as const) {
        const name = `${mode}, inner IPv${inner}`;
        t.strictSame(ripstop[inner].sent.outer, [EF, EF | 1, EF | 2, EF | 3], `${name}: DSCP and ECN go out`);
        t.strictSame(
          ripstop[inner].sent.outer.slice(0, 3),
          kernel[inner].sent.outer.slice(0, 3),
          `${name}: as the kernel`,
        );
        t.strictSame(ripstop[inner].sent.inner, [EF, EF | 1, EF | 2, EF | 3], `${name}: and stay inside`);
      }
    }
  });
