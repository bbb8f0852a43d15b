import type { Overlay } from '../../agent/overlay/overlay.ts';
import { HeardPeers } from '../../agent/probe/heard-peers.ts';
import type { PeerMonitor } from '../../agent/probe/peer-monitor.ts';
import type { Prober } from '../../agent/probe/prober.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { baseAddress } from '../../ip/prefix.ts';
import { type Finding, fault, warning } from './finding.ts';

const TIMEOUT_MS = 1000;
/** Attempts before an answer counts as missing. */
const TRIES = 2;
/** Echoes under way at once: a thousand peers are asked within some seconds. */
const AT_ONCE = 64;
const SMALL = 84;

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
}

/** What the checks of the peers need of the agent. */
export interface PeerExamination {
  readonly overlay: Overlay;
  readonly underlayMtu: number;
  readonly prober: Prober;
  readonly probes: Pick<PeerMonitor, 'isHeard' | 'wasNeverReached'>;
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
  const isAnyWell = [...answers.values()].some(({ underlay, tunnel }) => underlay && tunnel);
  const findings: Finding[] = [];
  for (const [peer, answer] of answers) {
    const evidence = {
      isHeard: heard.has(device, peer) || probes.isHeard(device, peer),
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

function judge(
  peer: Peer,
  overlay: Overlay,
  underlayMtu: number,
  { underlay, tunnel, pathMtu }: Answers,
  { isHeard, isAbsent }: Evidence,
): Finding | undefined {
  const { plan } = overlay;
  const name = peer.node ? `${peer.node.split('/')[0]} (${peer.address})` : `the node at ${peer.address}`;
  if (pathMtu !== undefined) {
    const overhead = underlayMtu - plan.mtu;
    return fault(
      'mtu-too-small',
      `the path MTU to ${name} is ${pathMtu}, the MTU of the interface is ${underlayMtu}: full packets of pods are lost`,
      `raise the MTU of the path, or lower the underlay: ip link set <interface> mtu ${pathMtu} on every node (pods then get ${pathMtu - overhead})`,
    );
  }
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
  const protocol = plan.mode === 'udp' ? 'the udp port' : 'the VXLAN port';
  if (hints)
    return fault(
      'stale-identity',
      `${name} answers over the underlay and not through the tunnel, and this node drops datagrams: ${hints}`,
      'compare `ripstop peers --json` on both nodes: address and MAC of each must be what the other has; restart the agent there',
    );
  const asleep = peer.node
    ? ''
    : '; or its agent does not run: its lease has no heartbeat, like those of all nodes that run flannel';
  return fault(
    'port-filtered',
    `${name} answers over the underlay and not through the tunnel: ${protocol} is filtered on the path, or that node has another MAC than its lease publishes${asleep}`,
    `open ${protocol} for UDP between the nodes; on ${name}: ripstop drops, and ip -d link show ${plan.device}`,
  );
}

/** Drops of this node's ingress that explain a silent tunnel. */
function ingressHints(overlay: Overlay): string {
  const verdicts = overlay.recentDrops();
  return ['wrong-vni', 'unknown-peer', 'not-for-us', 'spoofed-source', 'bad-flags']
    .flatMap(name => {
      const frames = verdicts[name]?.frames ?? 0;
      return frames > 0 ? `${name} ${frames}` : [];
    })
    .join(', ');
}
