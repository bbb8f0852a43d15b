import { RipstopError } from '../../../base/errors.ts';
import {
  listOf,
  mapOf,
  openObject,
  parseJson,
  readAs,
  readKnown,
  required,
  type Shape,
  text,
} from '../../../base/schema.ts';
import { contains, formatPrefix, networkOf, parsePrefix } from '../../../ip/prefix.ts';
import { type Lease, type LeaseAttributes, readAttributes, type Subnets } from '../../lease/lease.ts';

/** The part of a Kubernetes Node that leases are made of. */
export const NODE_FIELDS = {
  metadata: required(
    openObject(
      {
        name: required(text('a text', 'name')),
        uid: text('a text', 'another one after the Node was created again'),
        resourceVersion: text('a text', 'version'),
        creationTimestamp: text('a time', 'age of the Node'),
        annotations: mapOf(text('a text', 'value'), 'ours among them'),
      },
      'of the Node',
    ),
  ),
  spec: openObject(
    {
      podCIDR: text('a prefix', 'of one family'),
      podCIDRs: listOf(text('a prefix', 'pod subnet'), 'one per family'),
    },
    'of the Node',
  ),
  status: openObject(
    {
      conditions: listOf(
        openObject(
          { type: required(text('a word', 'type')), status: required(text('a word', 'True, False')) },
          'condition',
        ),
        'conditions',
      ),
    },
    'of the Node',
  ),
};

export type NodeObject = Shape<typeof NODE_FIELDS>;

/** Whether a node is alive, and whether this one is shown as connected. */
const CONDITIONS = ['Ready', 'NetworkUnavailable'];

/** flannel's annotations without their prefix. */
const ANNOTATIONS = {
  managed: 'kube-subnet-manager',
  backendType: 'backend-type',
  backendData: 'backend-data',
  backendV6Data: 'backend-v6-data',
  publicIp: 'public-ip',
  publicIpv6: 'public-ipv6',
  publicIpOverwrite: 'public-ip-overwrite',
  publicIpv6Overwrite: 'public-ipv6-overwrite',
  nodePublicIp: 'node-public-ip',
  nodePublicIpv6: 'node-public-ipv6',
} as const;

/** Full names of flannel's annotations. */
export type AnnotationNames = Readonly<Record<keyof typeof ANNOTATIONS, string>>;

/** Names under flannel's prefix rule: at most one '/'; a missing '/' or a missing '-' at the end is appended. */
export function annotationNames(prefix: string): AnnotationNames {
  const slashes = prefix.split('/').length - 1;
  if (slashes > 1)
    throw new RipstopError('ECONFIG', `--kube-annotation-prefix: ${prefix} has more than one '/'`);
  const whole = slashes === 0 ? `${prefix}/` : /[/-]$/.test(prefix) ? prefix : `${prefix}-`;
  const names = Object.entries(ANNOTATIONS).map(([name, suffix]) => [name, whole + suffix]);
  return Object.fromEntries(names) as AnnotationNames;
}

/**
 * Reads what leases are made of, and nothing else: a Node has some 14 kB, of which a lease takes 500 bytes. Strings are
 * copied by the parser, so the rest is free once this is kept in its place. @throws RipstopError ECONFIG
 */
export function readNode(raw: unknown, names: AnnotationNames): NodeObject {
  const { metadata, spec, status } = readKnown(NODE_FIELDS, raw, 'Node');
  const ours = new Set<string>(Object.values(names));
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([key]) => ours.has(key));
  const conditions = status?.conditions?.filter(({ type }) => CONDITIONS.includes(type));
  return {
    metadata: { ...metadata, annotations: Object.fromEntries(annotations) },
    spec,
    status: { conditions },
  };
}

/** Annotations that publish the attributes. An empty value of backend data is `null`, as flannel writes it. */
export function toAnnotations(attributes: LeaseAttributes, names: AnnotationNames): Record<string, string> {
  const { publicIp, publicIpv6, backendType, backendData, backendV6Data } = attributes;
  return {
    [names.managed]: 'true',
    [names.backendType]: backendType,
    ...(publicIp
      ? { [names.publicIp]: publicIp, [names.backendData]: JSON.stringify(backendData ?? null) }
      : {}),
    ...(publicIpv6
      ? { [names.publicIpv6]: publicIpv6, [names.backendV6Data]: JSON.stringify(backendV6Data ?? null) }
      : {}),
  };
}

/**
 * The annotations to write so that a Node has `wanted`; null removes one. What was published of a family that is not used any
 * more goes: other nodes would take it as valid.
 */
export function annotationChanges(
  wanted: Readonly<Record<string, string>>,
  current: Readonly<Record<string, string>>,
  names: AnnotationNames,
): Record<string, string | null> {
  const { publicIp, backendData, publicIpv6, backendV6Data } = names;
  const stale = [publicIp, backendData, publicIpv6, backendV6Data].filter(
    name => wanted[name] === undefined && current[name] !== undefined,
  );
  const changed = Object.entries(wanted).filter(([name, value]) => current[name] !== value);
  return Object.fromEntries([...changed, ...stale.map(name => [name, null] as const)]);
}

/** The pod subnets of a Node; both undefined while the controller manager has assigned none. */
function podSubnets(node: NodeObject): Subnets {
  const { podCIDR, podCIDRs = [] } = node.spec ?? {};
  const prefixes = podCIDRs.length > 0 || podCIDR === undefined ? podCIDRs : [podCIDR];
  const subnets = prefixes.map(prefix => {
    const cidr = parsePrefix(prefix);
    if (!cidr)
      throw new RipstopError(
        'ELEASE',
        `Node ${node.metadata.name}: podCIDR ${JSON.stringify(prefix)} is not a CIDR`,
      );
    return networkOf(cidr);
  });
  return { v4: subnets.find(cidr => cidr.family === 4), v6: subnets.find(cidr => cidr.family === 6) };
}

/** The Node's lease; undefined while it runs no flannel and no Ripstop or has no subnet. Throws ELEASE. */
export function toLease(node: NodeObject, names: AnnotationNames): Lease | undefined {
  const annotations = node.metadata.annotations ?? {};
  if (annotations[names.managed] !== 'true') return undefined;
  const subnets = podSubnets(node);
  if (!subnets.v4 && !subnets.v6) return undefined;
  const where = `Node ${node.metadata.name}`;
  const data = (key: string): unknown => {
    const text = annotations[key];
    return text ? readAs('ELEASE', () => parseJson(text, `${where}: annotation ${key}`)) : undefined;
  };
  const value = {
    PublicIP: annotations[names.publicIp],
    PublicIPv6: annotations[names.publicIpv6],
    BackendType: annotations[names.backendType],
    BackendData: data(names.backendData),
    BackendV6Data: data(names.backendV6Data),
  };
  const attributes = readAttributes(value, where);
  const isAlive =
    node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  return {
    ...subnets,
    key: node.metadata.name,
    attributes,
    expiresAt: 0,
    node: isAlive ? node.metadata.name : undefined,
    isGone: !isAlive,
    since: timeOf(node.metadata.creationTimestamp),
  };
}

function timeOf(text: string | undefined): number | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

/** Holds a Node's subnets against the networks of the configuration; gives only the families that are on. */
export function checkSubnets(node: NodeObject, network: Subnets): Subnets {
  const { name } = node.metadata;
  const found = podSubnets(node);
  const pick = (half: 'v4' | 'v6', key: string) => {
    const outer = network[half];
    if (!outer) return undefined;
    const inner = found[half];
    if (!inner)
      throw new RipstopError(
        'ENOLEASE',
        `Node ${name} has no ${half === 'v4' ? 'IPv4' : 'IPv6'} podCIDR`,
        'run kube-controller-manager with --allocate-node-cidrs=true and --cluster-cidr',
      );
    if (!contains(outer, inner))
      throw new RipstopError(
        'ECONFIG',
        `podCIDR ${formatPrefix(inner)} of Node ${name} is outside ${key} ${formatPrefix(outer)}`,
        `make ${key} in net-conf.json equal to --cluster-cidr`,
      );
    return inner;
  };
  return { v4: pick('v4', 'Network'), v6: pick('v6', 'IPv6Network') };
}
