import type { Agent } from '../../agent/agent.ts';
import { isReservation, type Lease } from '../../agent/lease/lease.ts';
import type { RejectedLease } from '../../agent/lease/rejected-lease.ts';
import { type Finding, fault } from './finding.ts';

/** What is known of the leases of the other nodes. */
export interface LeasePicture {
  /** Type of this node's backend. */
  readonly backend: string;
  readonly leases: readonly Lease[];
  readonly rejected: readonly RejectedLease[];
  /** Entries of the store that are not leases, with what is wrong. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** Maximum number of unreadable entries in the text. */
const NAMED = 5;

const KINDS: Readonly<Partial<Record<RejectedLease['reason'], Finding['kind']>>> = {
  'vni-differs': 'vni-differs',
  duplicate: 'stale-identity',
};

const REMEDIES: Readonly<Record<RejectedLease['reason'], string>> = {
  'vni-differs':
    'make Backend.VNI the same for all nodes (net-conf.json or the config key), and restart the node that differs',
  duplicate:
    'two nodes cannot share an address or a MAC: change it on that node, or delete the lease of the node that is gone',
  'other-backend': 'make Backend.Type the same for all nodes',
  malformed: 'restart the agent of that node: it writes its lease again',
  'no-address': 'give that node --public-ip or --public-ipv6, or an address of the family',
  'outside-network':
    'the node has a subnet of another network: restart its agent with the same configuration',
  overlap: 'give that node another subnet, or delete the lease of the node that is gone',
  underlay: 'give that node a subnet outside the network between the nodes',
  refused: 'the message names the obstacle; the agent retries with every change and every comparison',
  'off-link': 'host-gw needs all nodes on one link: use vxlan with DirectRouting',
};

/** The faults of the other nodes' leases, those that concern all nodes first. */
export function leaseFindings(picture: LeasePicture): Finding[] {
  return [
    ...unreadableFinding(picture),
    ...backendFinding(picture),
    ...picture.rejected.map(
      ({ key, reason, message }): Finding =>
        fault(
          KINDS[reason] ?? 'lease-rejected',
          `no traffic with the node of lease ${key}: it ${message}`,
          REMEDIES[reason],
        ),
    ),
  ];
}

/** The same for `ripstop plan`: one line per fault. */
export function leaseLines(picture: LeasePicture): string[] {
  return leaseFindings(picture).map(({ what, remedy }) => `! ${what} (${remedy})`);
}

function unreadableFinding({ unreadable, leases, rejected }: LeasePicture): Finding[] {
  if (unreadable.size === 0) return [];
  const named = [...unreadable.values()].slice(0, NAMED).join('; ');
  const more = unreadable.size > NAMED ? ` and ${unreadable.size - NAMED} more` : '';
  // Only the lease of this node can be read.
  const all = leases.length <= 1 && rejected.length === 0 ? 'no lease of another node can be read: ' : '';
  return [
    fault(
      'lease-unreadable',
      `${all}${unreadable.size} ${unreadable.size === 1 ? 'entry' : 'entries'} of the store cannot be read as a lease: ${named}${more}`,
      'delete these entries, or restart the agents that wrote them, with the same version',
    ),
  ];
}

/** All leases of a backend that this node does not have: the configuration is wrong, not the leases. */
function backendFinding({ backend, leases, rejected }: LeasePicture): Finding[] {
  const others = rejected.filter(({ reason }) => reason === 'other-backend');
  const taken = leases.filter(lease => !isReservation(lease));
  if (others.length === 0 || others.length < taken.length - 1) return [];
  const keys = new Set(others.map(({ key }) => key));
  const types = leases.filter(({ key }) => keys.has(key)).map(lease => lease.attributes.backendType || 'udp');
  const found = [...new Set(types)].join(', ');
  return [
    fault(
      'backend-differs',
      `every other node's lease has backend ${found}, and the network configuration gives this node ${backend}: this node exchanges no packets with them`,
      `set Backend.Type in the network configuration to what the cluster uses (without Backend, flanneld and ripstop use udp)`,
    ),
  ];
}

/** What is known of the leases; undefined before there is an overlay. */
export function leasePicture({ network, watch, store }: Agent): LeasePicture | undefined {
  if (!network) return undefined;
  const { rejected, inputs } = network;
  const { unreadable } = store;
  return {
    backend: inputs.config.backend.type,
    leases: [...(watch.leases?.values() ?? [])],
    rejected,
    unreadable,
  };
}
