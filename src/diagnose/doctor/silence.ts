import type { Overlay } from '../../agent/overlay/overlay.ts';
import { isNetError } from '../../net/error.ts';
import { readMib } from '../../net/mib.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import { routeTo } from '../../net/rtnetlink/routes.ts';
import { type NetlinkSocket, withSocket } from '../../net/rtnetlink/socket.ts';
import { readSysctl } from '../../net/sysctl.ts';
import { type Finding, fault } from './finding.ts';

/*
 * Why a peer seems silent although nothing filters the port: its answers come, and this node drops them. The counters of
 * the kernel are compared around probes of the doctor's own, because they grow for other reasons as well.
 */

export const REMEDY_IDENTITY =
  'compare `ripstop peers --json` on both nodes: address and MAC of each must be what the other has; restart the agent there';

/** Counters that tell why answers are lost on this node. */
export interface DropCounters {
  /** Datagrams with a wrong outer UDP checksum, and those that found the receive buffer of a socket full. */
  readonly checksum: number;
  readonly receiveQueue: number;
  /** Datagrams that the sockets of the tunnel refused for one of the two reasons; undefined where the kernel has the tunnel. */
  readonly tunnelSocket: number | undefined;
  /** Frames that found the queue of the device full. */
  readonly deviceQueue: number;
  readonly reversePath: number;
  /** Datagrams that the source check refuses, by the verdicts of `INGRESS`. */
  readonly refused: Readonly<Record<string, number>>;
}

/** Verdicts of datagrams whose sender has another identity or configuration than its lease. */
export const INGRESS = ['wrong-vni', 'unknown-peer', 'not-for-us', 'spoofed-source', 'bad-flags'];

/** Where packets to a peer leave this node, and what the device does with those from it. */
export interface WayBack {
  /** Interface of the route; undefined: there is none. */
  readonly link: string | undefined;
  /** The reverse path filter of the device of the overlay: 0 off, 1 strict, 2 loose. Read for a link other than the device. */
  readonly filter: number;
}

/** What the kernel of this node counts and routes. */
export interface LocalEvidence {
  counters(): DropCounters;
  wayTo(address: string): WayBack;
}

/** Evidence of the network namespace of an overlay. */
export function evidenceOf(overlay: Overlay, netns: string): LocalEvidence {
  const { plan } = overlay;
  const udp = plan.family === 6 ? 'Udp6' : 'Udp';
  return {
    counters() {
      const mib = readMib(netns);
      const verdicts = overlay.counters()?.verdicts;
      return {
        checksum: mib.get(`${udp}InCsumErrors`) ?? 0,
        receiveQueue: mib.get(`${udp}RcvbufErrors`) ?? 0,
        tunnelSocket: verdicts && (verdicts['socket-dropped']?.frames ?? 0),
        deviceQueue: verdicts?.['device-queue-full']?.frames ?? 0,
        reversePath: mib.get('TcpExtIPReversePathFilter') ?? 0,
        refused: Object.fromEntries(INGRESS.map(name => [name, verdicts?.[name]?.frames ?? 0])),
      };
    },
    wayTo: address =>
      withSocket(netns, socket => {
        const link = linkTowards(socket, address);
        if (link === plan.device || address.includes(':')) return { link, filter: 0 };
        const filters = ['all', plan.device ?? 'all'].map(name =>
          Number(readSysctl(netns, `net/ipv4/conf/${name}/rp_filter`)),
        );
        return { link, filter: Math.max(...filters) };
      }),
  };
}

/** Interface of the route to an address; undefined: there is none. */
function linkTowards(socket: NetlinkSocket, address: string): string | undefined {
  try {
    const { link } = routeTo(socket, address);
    return link === undefined ? undefined : findLink(socket, link)?.name;
  } catch (error) {
    if (isNetError(error)) return undefined;
    throw error;
  }
}

/** A peer that did not answer, and how it was asked once more. */
export interface Silence {
  /** Name and address for the finding. */
  readonly name: string;
  /** Address in the tunnel. */
  readonly address: string;
  readonly device: string;
  /** Probes between the two readings. A counter that grew by less than half of them has counted something else. */
  readonly probes: number;
  readonly before: DropCounters;
  readonly after: DropCounters;
}

/** The route to the pods of a peer that does not lead into the tunnel; undefined where it does. */
export function divertedRoute(
  { name, address, device }: Pick<Silence, 'name' | 'address' | 'device'>,
  { link, filter }: WayBack,
): Finding | undefined {
  if (link === device) return undefined;
  const route =
    link === undefined ? 'no route leads to them' : `the route leaves by ${link}, not by ${device}`;
  const remedy = `ip route get ${address}; ip rule show: remove the rule or the route of the other program`;
  // A loose filter needs any route.
  if (filter === 0 || (filter === 2 && link !== undefined))
    return fault(
      'route-diverted',
      `packets to the pods of ${name} do not enter the tunnel: ${route}`,
      remedy,
    );
  return fault(
    'reverse-path-filter',
    `packets to the pods of ${name} do not enter the tunnel (${route}), and the reverse path filter of ${device} drops those that come from them`,
    remedy,
  );
}

/** What this node dropped while it asked a peer; undefined when no counter grew with the probes. */
export function ownDrops({ name, device, probes, before, after }: Silence): Finding | undefined {
  const growth = (counter: Exclude<keyof DropCounters, 'refused'>) =>
    (after[counter] ?? 0) - (before[counter] ?? 0);
  // Other sockets of this node count in the same place.
  const atTunnel = after.tunnelSocket === undefined ? Number.POSITIVE_INFINITY : growth('tunnelSocket');
  const grown = (counter: Parameters<typeof growth>[0], most = Number.POSITIVE_INFINITY) =>
    Math.min(growth(counter), most) * 2 >= probes ? growth(counter) : 0;
  const asked = `while ${name} was asked ${probes} times`;
  const checksum = grown('checksum', atTunnel);
  if (checksum > 0)
    return fault(
      'checksum-broken',
      `this node refused ${checksum} datagrams with a wrong outer UDP checksum ${asked}: an interface of that node or on the path computes them wrongly`,
      `on ${name}: ethtool -K <underlay> tx off; nstat -az UdpInCsumErrors Udp6InCsumErrors counts them here`,
    );
  const queue = grown('receiveQueue', atTunnel);
  if (queue > 0)
    return fault(
      'queue-full',
      `this node dropped ${queue} datagrams ${asked}, because the receive buffer of the tunnel is full`,
      'datagrams arrive faster than the node takes them: give the agent more processor time (`ripstop status`, row workers)',
    );
  const atDevice = grown('deviceQueue');
  if (atDevice > 0)
    return fault(
      'queue-full',
      `this node dropped ${atDevice} frames ${asked}, because the queue of ${device} is full`,
      'pods send faster than the node forwards: give the agent more processor time (`ripstop status`, row workers), or slow the sender',
    );
  const filtered = grown('reversePath');
  if (filtered > 0)
    return fault(
      'reverse-path-filter',
      `the reverse path filter of this node dropped ${filtered} packets ${asked}`,
      'sysctl -a -r rp_filter; correct the way back (ip route, ip rule show), or set rp_filter of the interface to 2',
    );
  return refusedSource({ name, probes, before, after });
}

/** Answers that the source check of this node refuses. */
function refusedSource({
  name,
  probes,
  before,
  after,
}: Omit<Silence, 'address' | 'device'>): Finding | undefined {
  const grown = INGRESS.flatMap(verdict => {
    const frames = (after.refused[verdict] ?? 0) - (before.refused[verdict] ?? 0);
    return frames * 2 >= probes ? `${verdict} ${frames}` : [];
  });
  if (grown.length === 0) return undefined;
  return fault(
    'stale-identity',
    `${name} does not answer through the tunnel, and this node dropped datagrams while it was asked ${probes} times: ${grown.join(', ')}`,
    REMEDY_IDENTITY,
  );
}
