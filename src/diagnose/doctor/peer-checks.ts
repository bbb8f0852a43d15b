import { setTimeout as after } from 'node:timers/promises';
import type { Overlay } from '../../agent/overlay/overlay.ts';
import { HeardPeers } from '../../agent/probe/heard-peers.ts';
import type { PeerMonitor } from '../../agent/probe/peer-monitor.ts';
import type { Prober } from '../../agent/probe/prober.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { baseAddress } from '../../ip/prefix.ts';
import { type Finding, fault, warning } from './finding.ts';
import { divertedRoute, INGRESS, type LocalEvidence, ownDrops, REMEDY_IDENTITY } from './silence.ts';

const TIMEOUT_MS = 1000;
/** Attempts before an answer counts as missing. */
const TRIES = 2;
/** Echoes under way at once: a thousand peers are asked within some seconds. */
const AT_ONCE = 64;
const SMALL = 84;
/** Silent peers that are asked once more, one after the other, to compare the counters of the kernel. */
const ASKED_AGAIN = 4;
/** Echoes of that attempt, one after the other: answers that leave together are merged, and lost as one. */
const PROBES = 6;
const APART_MS = 100;

/** What one peer answered. */
interface Answers {
  readonly underlay: boolean;
  readonly tunnel: boolean;
  /** The largest underlay packet that was answered, when a full one was not. */
  readonly pathMtu: number | undefined;
}

/** What is known of a peer besides its answers. */
interface Evidence {
  /** Its packets arrive. */
  readonly isHeard: boolean;
  /** Nothing came from it since the agent started, and its lease does not say that its node is alive. */
  readonly isAbsent: boolean;
  /** What this node itself does to the packets, if that explains the silence. */
  readonly own: Finding | undefined;
  /** The counters of this node were compared. */
  readonly isExamined: boolean;
}

/** What the checks of the peers need of the agent. */
export interface PeerExamination {
  readonly overlay: Overlay;
  readonly underlayMtu: number;
  readonly prober: Prober;
  readonly probes: Pick<PeerMonitor, 'isHeard' | 'wasNeverReached'>;
  readonly local: LocalEvidence;
}

/**
 * Probes every peer over the underlay and through the tunnel. The difference locates the fault: silence on the underlay is the
 * network, silence in the tunnel alone is the port or what the peer has recorded of this node.
 * @returns findings, and how many peers were in order
 */
export async function examinePeers(
  examination: PeerExamination,
): Promise<{ findings: Finding[]; well: number }> {
  const { overlay, underlayMtu, probes } = examination;
  const { device } = overlay.plan;
  const answers = new Map<Peer, Answers>();
  const queue = [...overlay.peers];
  const heard = new HeardPeers();
  heard.sample([overlay]);
  const work = async (): Promise<void> => {
    for (let peer = queue.shift(); peer; peer = queue.shift())
      answers.set(peer, await ask(peer, examination));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  heard.sample([overlay]);
  const own = await examineOwnSide(answers, examination);
  const isAnyWell = [...answers.values()].some(({ underlay, tunnel }) => underlay && tunnel);
  const findings: Finding[] = [];
  for (const [peer, answer] of answers) {
    const evidence = {
      isHeard: heard.has(device, peer) || probes.isHeard(device, peer),
      own: own.get(peer),
      isExamined: own.has(peer),
      isAbsent: isAnyWell && peer.node === undefined && probes.wasNeverReached(device, peer),
    };
    const found = judge(peer, overlay, underlayMtu, answer, evidence);
    if (found) findings.push(found);
  }
  return { findings, well: answers.size - findings.length };
}

async function ask(peer: Peer, { overlay, underlayMtu, prober }: PeerExamination): Promise<Answers> {
  const answers = async (address: string, bytes: number): Promise<boolean> => {
    for (let attempt = 0; attempt < TRIES; attempt++)
      if ((await prober.echo(address, bytes, TIMEOUT_MS)) !== undefined) return true;
    return false;
  };
  const underlay = await answers(peer.address, SMALL);
  const [subnet] = peer.subnets;
  const inTunnel = overlay.plan.device !== undefined && !peer.direct && subnet !== undefined;
  const tunnel = inTunnel ? await answers(baseAddress(subnet), SMALL) : underlay;
  const isFull = !underlay || (await answers(peer.address, underlayMtu));
  const pathMtu = isFull
    ? undefined
    : await prober.probePathMtu(peer.address, SMALL, underlayMtu, TIMEOUT_MS / 2);
  return { underlay, tunnel, pathMtu };
}

/**
 * What this node itself does to the packets of peers: a route that leads elsewhere, which a peer on the same link may answer
 * all the same, and what it drops while it asks silent peers once more.
 * @returns the peers that were examined, with what explains their silence
 */
async function examineOwnSide(
  answers: ReadonlyMap<Peer, Answers>,
  { overlay, prober, local }: PeerExamination,
): Promise<Map<Peer, Finding | undefined>> {
  const found = new Map<Peer, Finding | undefined>();
  const { device } = overlay.plan;
  let asked = 0;
  for (const [peer, { tunnel, underlay }] of answers) {
    const [subnet] = peer.subnets;
    if (device === undefined || peer.direct || subnet === undefined) continue;
    const silence = { name: nameOf(peer), address: baseAddress(subnet), device };
    const diverted = divertedRoute(silence, local.wayTo(silence.address));
    if (diverted) found.set(peer, diverted);
    if (tunnel || diverted || asked++ >= ASKED_AGAIN) continue;
    const target = underlay ? silence.address : peer.address;
    const before = local.counters();
    const echo = (number: number) =>
      after(number * APART_MS).then(() => prober.echo(target, SMALL, TIMEOUT_MS));
    await Promise.all(Array.from({ length: PROBES }, (_, number) => echo(number)));
    const dropped = ownDrops({ ...silence, probes: PROBES, before, after: local.counters() });
    found.set(peer, dropped);
  }
  return found;
}

/** A peer in the text of a finding. */
function nameOf({ node, address }: Peer): string {
  return node ? `${node.split('/')[0]} (${address})` : `the node at ${address}`;
}

function judge(
  peer: Peer,
  overlay: Overlay,
  underlayMtu: number,
  { underlay, tunnel, pathMtu }: Answers,
  { isHeard, isAbsent, own, isExamined }: Evidence,
): Finding | undefined {
  const { plan } = overlay;
  const name = nameOf(peer);
  if (pathMtu !== undefined) {
    const overhead = underlayMtu - plan.mtu;
    return fault(
      'mtu-too-small',
      `the path MTU to ${name} is ${pathMtu}, the MTU of the interface is ${underlayMtu}: full packets of pods are lost`,
      `raise the MTU of the path, or lower the underlay: ip link set <interface> mtu ${pathMtu} on every node (pods then get ${pathMtu - overhead})`,
    );
  }
  if (own) return own;
  if (!underlay && !tunnel && isHeard)
    return warning(
      'icmp-filtered',
      `${name} answers no ICMP echo, and packets of it arrive: it filters ICMP, or does not receive what this node sends`,
      `allow ICMP echo from the other nodes; run the doctor of ${name} if pods there get no answers`,
    );
  if (!underlay && !tunnel && isAbsent)
    return warning(
      'peer-absent',
      `${name} has a lease and was not reached since this agent started: its node has another address now, is gone or has not started yet, or the underlay to it alone is blocked`,
      `ping ${peer.address}; if the node is gone, its lease ${peer.id} ends by itself, or can be deleted`,
    );
  if (!underlay && !tunnel)
    return fault(
      'underlay-blocked',
      `${name} answers neither over the underlay nor through the tunnel: it is down, it filters ICMP and sends nothing, or the underlay between the nodes is blocked`,
      `ping ${peer.address}; check the routes and firewalls between the nodes`,
    );
  if (tunnel || plan.device === undefined) return undefined;
  const hints = ingressHints(overlay);
  if (hints)
    return fault(
      'stale-identity',
      `${name} answers over the underlay and not through the tunnel, and this node dropped datagrams in the last 10 minutes: ${hints}`,
      REMEDY_IDENTITY,
    );
  const protocol = plan.mode === 'udp' ? 'the udp port' : 'the VXLAN port';
  const compared = isExamined ? ', and no counter of this node grows with the probes' : '';
  const asleep = peer.node
    ? ''
    : '; or its agent does not run: its lease has no heartbeat, like those of all nodes that run flannel';
  return fault(
    'port-filtered',
    `${name} answers over the underlay and not through the tunnel${compared}: ${protocol} is filtered on the path, or that node drops the datagrams (another MAC than its lease publishes, wrong checksums, reverse path filter)${asleep}`,
    `open ${protocol} for UDP between the nodes; \`ripstop doctor\` on ${name} compares the counters there`,
  );
}

/** Drops of this node's ingress that explain a silent tunnel: a node with another MAC ignores probes, and its pods still send. */
function ingressHints(overlay: Overlay): string {
  const verdicts = overlay.recentDrops();
  return INGRESS.flatMap(name => {
    const frames = verdicts[name]?.frames ?? 0;
    return frames > 0 ? `${name} ${frames}` : [];
  }).join(', ');
}
