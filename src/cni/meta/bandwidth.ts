import { integer, withDefault } from '../../base/schema.ts';
import {
  changeLink,
  createLink,
  deleteLink,
  findLink,
  getLink,
  type Link,
  listLinks,
} from '../../net/rtnetlink/links.ts';
import {
  deleteIngressQdisc,
  deleteRootQdisc,
  listQdiscs,
  redirectIngress,
  replaceTokenBucket,
  type TokenBucketFilter,
} from '../../net/rtnetlink/qdisc.ts';
import type { NetlinkSocket } from '../../net/rtnetlink/socket.ts';
import { under } from '../config/fields.ts';
import { passthroughObject, readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { requirePrevResult, validAttachments } from '../config/network.ts';
import { runtimeConfig } from '../config/runtime.ts';
import { failCheck } from '../link/checks.ts';
import { interfaceEntry } from '../link/interface.ts';
import { type NetlinkPair, withNode, withNodeAndPod } from '../link/netlink-pair.ts';
import { sha512 } from '../link/sha512.ts';
import { callTag, staleTags } from '../link/tag.ts';
import type { Interface, Result } from '../result/types.ts';
import { CniError, CODE, refuse } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { Undo } from '../skel/undo.ts';

/** Longest queueing delay, ms; packets beyond it are dropped. */
const LATENCY_MS = 25;
/** Bursts are counted in bytes in 32 bits. */
const BURST_MAX_BITS = 0xffffffff * 8;
const IFB_NAME_LENGTH = 15;

const bits = (unit: string, doc: string) => withDefault(integer(0, Number.MAX_SAFE_INTEGER, doc, unit), 0);

const bandwidthFields = {
  ingressRate: bits('bits/s', 'rate towards the pod'),
  ingressBurst: bits('bits', 'burst towards the pod'),
  egressRate: bits('bits/s', 'rate from the pod'),
  egressBurst: bits('bits', 'burst from the pod'),
};

interface Limits {
  /** Towards and from the pod; undefined: not limited. */
  ingress: TokenBucketFilter | undefined;
  egress: TokenBucketFilter | undefined;
}

/** @throws CniError 7 */
function readBucket(rate: number, burst: number, where: string): TokenBucketFilter | undefined {
  if (rate === 0 && burst === 0) return undefined;
  const missing = (sentence: string, key: string): never => {
    throw new CniError(CODE.INVALID_CONFIG, sentence, `${where}${key} is missing`);
  };
  if (burst === 0) missing('if rate is set, burst must also be set', 'Burst');
  if (rate === 0) missing('if burst is set, rate must also be set', 'Rate');
  if (burst >= BURST_MAX_BITS) refuse(`${where}Burst`, 'cannot be more than 4GB');
  const bytes = Math.floor(rate / 8);
  const burstBytes = Math.floor(burst / 8);
  if (bytes === 0 || burstBytes === 0) refuse(`${where}Rate`, 'is less than a byte');
  return { rate: bytes, burst: burstBytes, limit: Math.floor((bytes * LATENCY_MS) / 1000) + burstBytes };
}

/** The plugin's own keys win over what the runtime passes. */
function readLimits(call: Call): Limits {
  const own = readIgnoringUnknown(bandwidthFields, call.config, '');
  const given = readIgnoringUnknown(
    { bandwidth: passthroughObject(bandwidthFields, 'limits') },
    runtimeConfig(call),
    'runtimeConfig',
  );
  const configured = Object.values(own).some(value => value !== 0);
  const limits = configured ? own : (given.bandwidth ?? own);
  const where = configured ? '' : 'runtimeConfig.bandwidth.';
  return {
    ingress: readBucket(limits.ingressRate, limits.ingressBurst, `${where}ingress`),
    egress: readBucket(limits.egressRate, limits.egressBurst, `${where}egress`),
  };
}

/** Beginning of the names of a network's devices. */
const ifbPrefix = (network: string) => `bwp${sha512(network).slice(0, 3)}`;

/**
 * Name of a shaping device by interface: while it is made, and for good where the container has another one. It names the
 * network, so that GC finds what a crash has left.
 */
function nameOf(network: string, containerId: string, ifname: string): string {
  return `${ifbPrefix(network)}${sha512(`${network}\0${containerId}\0${ifname}`)}`.slice(0, IFB_NAME_LENGTH);
}

const ifbName = (call: Call) => nameOf(call.name, call.containerId, call.ifname);

/** The reference plugin's name, which is one per container. The first interface has it, so that either plugin finds the device. */
function sharedIfbName(call: Call): string {
  return `bwp${sha512(call.name + call.containerId)}`.slice(0, IFB_NAME_LENGTH);
}

/** The attachment's shaping device. One without an alias is the reference's, of the container's only interface. */
function findIfb(call: Call, node: NetlinkSocket): Link | undefined {
  const own = findLink(node, ifbName(call));
  if (own) return own;
  const shared = findLink(node, sharedIfbName(call));
  return shared?.alias === undefined || shared.alias === callTag(call) ? shared : undefined;
}

/** The node's end of the pod's interface. @throws CniError 999 when it has none on the node */
function nodeEnd(call: Call, { node, pod }: NetlinkPair, previous: Result): Link {
  const inside = findLink(pod, call.ifname);
  const end =
    inside?.kind === 'veth' && inside.parent !== undefined ? findLink(node, inside.parent) : undefined;
  if (end?.kind === 'veth' && previous.interfaces.some(one => one.name === end.name && !one.sandbox))
    return end;
  throw new CniError(CODE.INTERNAL, `no veth peer of container interface "${call.ifname}" found on the host`);
}

async function add(call: Call): Promise<Result> {
  const limits = readLimits(call);
  const previous = requirePrevResult(call);
  if (!limits.ingress && !limits.egress) return previous;
  return withNodeAndPod(call, netlink =>
    Undo.guard(call.host.log, async undo => {
      const end = nodeEnd(call, netlink, previous);
      if (limits.ingress) {
        undo.push(`lift the limit of ${end.name}`, () => deleteRootQdisc(netlink.node, end.index));
        replaceTokenBucket(netlink.node, end.index, limits.ingress);
      }
      if (!limits.egress) return previous;
      const device = shapeEgress(call, netlink.node, end, limits.egress, undo);
      return { ...previous, interfaces: [...previous.interfaces, device] };
    }),
  );
}

/** Packets of the pod arrive at the node's end. They are redirected to an ifb device and shaped there. */
function shapeEgress(
  call: Call,
  node: NetlinkSocket,
  end: Link,
  bucket: TokenBucketFilter,
  undo: Undo,
): Interface {
  const name = ifbName(call);
  createLink(node, { kind: 'ifb', name, mtu: end.mtu });
  const { index } = getLink(node, name);
  undo.push(`delete ${name}`, () => deleteLink(node, index));
  const shared = sharedIfbName(call);
  const rename = findLink(node, shared) ? {} : { name: shared };
  changeLink(node, index, { ...rename, up: true, alias: callTag(call) });
  const device = getLink(node, index);
  replaceTokenBucket(node, index, bucket);
  undo.push(`remove the redirection of ${end.name}`, () => deleteIngressQdisc(node, end.index));
  redirectIngress(node, end.index, device.index);
  return interfaceEntry(device);
}

async function del(call: Call): Promise<void> {
  // The queue towards the pod goes with the pod's interface.
  await withNode(call, node => {
    const device = findIfb(call, node);
    if (device) deleteLink(node, device.index);
  });
}

async function check(call: Call): Promise<void> {
  const limits = readLimits(call);
  const previous = requirePrevResult(call);
  if (!limits.ingress && !limits.egress) return;
  await withNodeAndPod(call, async netlink => {
    const end = nodeEnd(call, netlink, previous);
    if (limits.ingress) checkBucket(netlink.node, end, limits.ingress);
    if (!limits.egress) return;
    const device = findIfb(call, netlink.node);
    if (!device) failCheck(`the device that limits the packets from ${call.ifname} is missing`);
    checkBucket(netlink.node, device, limits.egress);
    if (!listQdiscs(netlink.node, end.index).some(one => one.kind === 'ingress')) {
      failCheck(`packets that arrive at ${end.name} are not redirected to ${device.name}`);
    }
  });
}

function checkBucket(node: NetlinkSocket, link: Link, wanted: TokenBucketFilter): void {
  const found = listQdiscs(node, link.index).find(one => one.root)?.tokenBucket;
  if (!found) failCheck(`${link.name} is not limited`);
  // The kernel keeps the burst as time.
  const near = Math.abs(found.burst - wanted.burst) <= Math.max(1, wanted.burst / 1000);
  if (found.rate !== wanted.rate || !near) {
    failCheck(
      `limit of ${link.name} is ${found.rate * 8} bit/s, burst ${found.burst * 8} bit, not ${wanted.rate * 8}, ${wanted.burst * 8}`,
    );
  }
}

/** Deletes the network's shaping devices that belong to no valid attachment, and no link of another kind. */
async function gc(call: Call): Promise<void> {
  const valid = validAttachments(call);
  const isStale = staleTags(call.name, valid);
  const kept = new Set(valid.map(one => nameOf(call.name, one.containerID, one.ifname)));
  // Before it is up and has its alias, a device that a crash has left has only its name.
  const isForgotten = ({ name, up, alias }: Link) =>
    alias === undefined && !up && name.startsWith(ifbPrefix(call.name)) && !kept.has(name);
  await withNode(call, node => {
    for (const link of listLinks(node)) {
      const { kind, index, alias } = link;
      if (kind === 'ifb' && (isForgotten(link) || (alias !== undefined && isStale(alias))))
        deleteLink(node, index);
    }
  });
}

/** Limits what a pod receives and sends. */
export const bandwidth: Plugin = {
  name: 'bandwidth',
  docs: {
    keys: { ...bandwidthFields, ...under('runtimeConfig.bandwidth', bandwidthFields) },
    differences: [
      'Each interface of a container has its own shaping device. The first one has the name of the reference.',
      'GC leaves devices that the reference made: nothing on them names the network.',
    ],
  },
  add,
  del,
  check,
  gc,
  status: async call => void readLimits(call),
};
