import type { Agent } from '../../agent/agent.ts';
import { failingOf, failingWrites } from '../../agent/faults.ts';
import { largeMtu } from '../../agent/inputs/plan.ts';
import { flannelRules } from '../../agent/rules/flannel-rules.ts';
import { describeKept } from '../../agent/store/store-watch.ts';
import { hasCode } from '../../base/errors.ts';
import { formatDuration } from '../../base/text/quantity.ts';
import { saveIptables, variantsInUse } from '../../net/iptables.ts';
import { listNft } from '../../net/nft/nft.ts';
import { listLinks } from '../../net/rtnetlink/links.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { describeRefusedSysctl, readSysctl, refusedSysctls } from '../../net/sysctl.ts';
import { recentDropsOf } from '../drops.ts';
import { checkBridges, staleBridges } from './bridge-checks.ts';
import { CONFIGURATION, checkConfig } from './config-check.ts';
import { checkCpu } from './cpu-check.ts';
import { type Finding, fault, warning } from './finding.ts';
import { checkFirewall, checkForwarding } from './firewall-checks.ts';
import { leaseFindings, leasePicture } from './lease-faults.ts';
import { checkSegmentation } from './offload-check.ts';
import { checkEndpoints, checkUncaught } from './process-checks.ts';

export type Check = (agent: Agent) => Promise<Finding[]> | Finding[];

/** Checks of this node alone, by the name that the list of what is in order shows. */
export const NODE_CHECKS: Readonly<Record<string, Check>> = {
  'readiness and store': checkState,
  'network configuration': checkConfig,
  'listeners of the agent': checkEndpoints,
  'restarts after errors': checkUncaught,
  'kernel settings': checkSettings,
  'bridge netfilter': checkBridgeNetfilter,
  'processor time': agent => checkCpu(agent),
};

/** Checks of what an overlay needs or makes: without one there is nothing to compare with. */
export const OVERLAY_CHECKS: Readonly<Record<string, Check>> = {
  'leases of the other nodes': checkLeases,
  'kernel state': checkKernel,
  'connected networks': checkConnected,
  'bridges of pods': checkBridges,
  'forwarding by interface': checkForwarding,
  'rules that drop packets of pods': checkFirewall,
  'masquerade and forward rules': checkRules,
  'MTU of the underlay': checkUnderlayMtu,
  'MTU of pods': checkPodMtu,
  checksums: checkChecksums,
  'segmentation offload': checkSegmentation,
  drops: checkDrops,
};

function checkState(agent: Agent): Finding[] {
  const findings: Finding[] = agent.readiness
    .reasons()
    .map(reason =>
      fault(
        'not-ready',
        `the node is not ready: ${reason}`,
        "see the reason and the agent's log; the agent keeps trying",
      ),
    );
  findings.push(...storeFindings(agent));
  for (const [part, reason] of failingOf(agent))
    if (part !== CONFIGURATION && !findings.some(({ what }) => what.includes(reason)))
      findings.push(warning('part-failing', `${part}: ${reason}`, 'see the reason; the agent keeps trying'));
  const { kept } = agent.watch;
  if (kept)
    findings.push(
      fault(
        'store-emptied',
        describeKept(agent.store.location, kept),
        'restore the data of the store, or start the agents of the other nodes: their leases are then taken up one by one',
      ),
    );
  if (agent.watch.downSince !== undefined)
    findings.push(
      warning(
        'store-unreachable',
        `the lease store ${agent.store.location} is unreachable since ${new Date(agent.watch.downSince).toISOString()}; traffic continues, new nodes are not seen`,
        'make the store reachable again; the agent reconnects on its own',
      ),
    );
  return findings;
}

/** What the store refuses, and what waits for the other nodes. */
function storeFindings(agent: Agent): Finding[] {
  const { store, lease, watch } = agent;
  const { waiting } = agent.faults;
  const findings: Finding[] = [];
  // A store that is unreachable is a finding of its own.
  if (watch.downSince === undefined)
    for (const [what, reason] of failingWrites(agent))
      findings.push(
        fault(
          'store-write-failing',
          `${store.location} answers, and does not take a write of this node: ${what}: ${reason}${ending(lease.leftMs)}`,
          'see the reason, for example rights or space of the store; the agent tries again',
        ),
      );
  for (const text of store.lacking ?? [])
    findings.push(
      warning('store-rights', text, 'give the role the right, or leave it if flanneld uses the same role'),
    );
  if (waiting !== undefined)
    findings.push(
      warning(
        'configuration-waits',
        waiting,
        'restart flanneld on the other nodes; to change this node now, restart its agent or send it SIGHUP',
      ),
    );
  return findings;
}

function ending(leftMs: number | undefined): string {
  return leftMs === undefined ? '' : `; the lease ends in ${formatDuration(leftMs)} unless it can be renewed`;
}

function checkLeases(agent: Agent): Finding[] {
  const picture = leasePicture(agent);
  return picture ? leaseFindings(picture) : [];
}

function checkKernel(agent: Agent): Finding[] {
  const pending = (agent.network?.overlays ?? []).flatMap(overlay => overlay.pending());
  if (pending.length === 0) return [];
  return [
    warning(
      'kernel-drift',
      `the kernel differs from the desired state in ${pending.length} places; the agent is about to restore it`,
      '`ripstop plan` lists them; if they return, another program changes them',
    ),
  ];
}

function checkSettings(): Finding[] {
  return refusedSysctls().map(setting =>
    warning(
      'setting-refused',
      describeRefusedSysctl(setting),
      `mount the host's /proc/sys/net at /host/proc/sys/net (docs/deploy/kustomize/base/kube-ripstop.yml), or set it on the host`,
    ),
  );
}

function checkConnected(agent: Agent): Finding[] {
  const { network, options } = agent;
  if (!network) return [];
  const routes = network.overlays.flatMap(overlay => overlay.connected());
  // `stale-bridge` names these, with another remedy.
  const stale = new Set(staleBridges(options.netns, network).map(({ name }) => name));
  return routes
    .filter(({ device }) => device === undefined || !stale.has(device))
    .map(({ destination, device = 'another interface' }) =>
      fault(
        'lease-rejected',
        `no traffic with the pods in ${destination}: ${device} is connected to a network of that range`,
        `give the node of that lease another subnet, or take the range from ${device}`,
      ),
    );
}

async function checkRules(agent: Agent): Promise<Finding[]> {
  const { netns } = agent.options;
  const leftovers = await flannelRules(netns);
  const findings: Finding[] = [];
  if (leftovers.length > 0)
    findings.push(
      warning(
        'masquerade-wrong',
        `rules that flannel left still act on pod traffic: ${leftovers.join(', ')}`,
        '`ripstop cleanup --flannel-rules` removes them, also while the agent runs',
      ),
    );
  const cluster = agent.network?.inputs.config.v4;
  if (agent.options.rules && !agent.options.masquerade && cluster && !(await masqueradesElsewhere(netns)))
    findings.push(
      warning(
        'masquerade-wrong',
        'nothing masquerades traffic that leaves the pod network: pods reach no host outside the cluster',
        'start the agent with --ip-masq, unless another program masquerades (the bridge plugin with ipMasq)',
      ),
    );
  return findings;
}

async function masqueradesElsewhere(netns: string): Promise<boolean> {
  for (const variant of await variantsInUse(netns, 4, 'nat')) {
    const nat = await saveIptables(netns, 4, 'nat', variant).catch(() => '');
    if (/-A POSTROUTING .*MASQUERADE/.test(nat)) return true;
  }
  return JSON.stringify(await listNft(netns, ['ruleset']).catch(() => [])).includes('"masquerade"');
}

function checkBridgeNetfilter(agent: Agent): Finding[] {
  try {
    const value = readSysctl(agent.options.netns, 'net.bridge.bridge-nf-call-iptables');
    if (value === '1') return [];
  } catch (error) {
    // No such setting: the module is not loaded.
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  return [
    warning(
      'bridge-netfilter-missing',
      'traffic between pods of one node passes the bridge without iptables: Services that answer from the same node break with an iptables kube-proxy',
      'modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1',
    ),
  ];
}

function checkUnderlayMtu(agent: Agent): Finding[] {
  const inputs = agent.network?.inputs;
  const text = inputs && largeMtu(inputs.config.backend, inputs.underlay);
  if (text === undefined) return [];
  return [
    warning(
      'mtu-too-large',
      text,
      'set Backend.MTU to the MTU of the underlay, or leave it out; the same on all nodes, then restart the pods',
    ),
  ];
}

function checkPodMtu(agent: Agent): Finding[] {
  if (!agent.network) return [];
  const mtu = Math.min(...agent.network.overlays.map(({ plan }) => plan.mtu));
  const socket = new NetlinkSocket({ netns: agent.options.netns });
  try {
    return listLinks(socket)
      .filter(link => link.kind === 'bridge' && /^cni/.test(link.name) && link.mtu > mtu)
      .map(link =>
        warning(
          'pod-mtu-differs',
          `pods behind ${link.name} have MTU ${link.mtu}, the overlay carries ${mtu}: they were created before it changed`,
          `ip link set ${link.name} mtu ${mtu}, and restart the pods`,
        ),
      );
  } finally {
    socket.close();
  }
}

function checkChecksums(agent: Agent): Finding[] {
  return recentDropsOf(agent)
    .filter(drop => drop.reason === 'bad-checksum')
    .map(drop =>
      fault(
        'checksum-broken',
        `${drop.frames} frames of the last 10 minutes had a wrong inner checksum: an interface of a peer or on the path computes them wrongly`,
        'on the peer: ethtool -K <underlay> tx off, and for a kernel VXLAN ethtool -K flannel.1 tx-checksum-ip-generic off',
      ),
    );
}

function checkDrops(agent: Agent): Finding[] {
  return recentDropsOf(agent)
    .filter(drop => drop.reason !== 'multicast' && drop.reason !== 'bad-checksum')
    .map(drop =>
      warning(
        'drops',
        `${drop.device}: ${drop.frames} frames lost (${drop.reason}) in the last 10 minutes: ${drop.meaning}`,
        drop.remedy || 'ripstop drops',
      ),
    );
}
