import { RipstopError } from '../../../base/errors.ts';
import { contains, formatCidr, networkOf, parseCidr } from '../../lease/cidr.ts';
import { type Lease, type LeaseAttributes, parseAttributes, type Subnets } from '../../lease/lease.ts';

/** The part of a Kubernetes Node that leases are made of. */
export interface NodeObject {
  metadata: {
    name: string;
    uid?: string;
    resourceVersion?: string;
    creationTimestamp?: string;
    annotations?: Record<string, string>;
  };
  spec?: { podCIDR?: string; podCIDRs?: string[] };
  status?: { conditions?: { type: string; status: string }[] };
}

/** Who is alive, and whether the own Node is shown as connected. */
const CONDITIONS = ['Ready', 'NetworkUnavailable'];

/** Full names of flannel's annotations. */
export interface AnnotationNames {
  readonly managed: string;
  readonly backendType: string;
  readonly backendData: string;
  readonly backendV6Data: string;
  readonly publicIp: string;
  readonly publicIpv6: string;
  readonly publicIpOverwrite: string;
  readonly publicIpv6Overwrite: string;
  readonly nodePublicIp: string;
  readonly nodePublicIpv6: string;
}

/** Names under flannel's prefix rule: at most one '/'; a missing '/' or a missing '-' at the end is appended. */
export function annotationNames(prefix: string): AnnotationNames {
  const slashes = prefix.split('/').length - 1;
  if (slashes > 1)
    throw new RipstopError('ECONFIG', `--kube-annotation-prefix: ${prefix} has more than one '/'`);
  const whole = slashes === 0 ? `${prefix}/` : /[/-]$/.test(prefix) ? prefix : `${prefix}-`;
  return {
    managed: `${whole}kube-subnet-manager`,
    backendType: `${whole}backend-type`,
    backendData: `${whole}backend-data`,
    backendV6Data: `${whole}backend-v6-data`,
    publicIp: `${whole}public-ip`,
    publicIpv6: `${whole}public-ipv6`,
    publicIpOverwrite: `${whole}public-ip-overwrite`,
    publicIpv6Overwrite: `${whole}public-ipv6-overwrite`,
    nodePublicIp: `${whole}node-public-ip`,
    nodePublicIpv6: `${whole}node-public-ipv6`,
  };
}

/**
 * What leases are made of, and nothing else: a Node has some 14 kB, of which a lease takes 500 bytes. Strings are copied
 * by the parser, so the rest is free once this is kept in its place.
 */
export function essenceOf({ metadata, spec, status }: NodeObject, names: AnnotationNames): NodeObject {
  const { name, uid, resourceVersion, creationTimestamp, annotations = {} } = metadata;
  const ours = Object.values(names).filter(key => annotations[key] !== undefined);
  const conditions = status?.conditions?.filter(({ type }) => CONDITIONS.includes(type)) ?? [];
  return {
    metadata: {
      name,
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      annotations: Object.fromEntries(ours.map(key => [key, annotations[key]!])),
    },
    ...(spec === undefined
      ? {}
      : {
          spec: {
            ...(spec.podCIDR === undefined ? {} : { podCIDR: spec.podCIDR }),
            ...(spec.podCIDRs === undefined ? {} : { podCIDRs: spec.podCIDRs }),
          },
        }),
    status: { conditions: conditions.map(({ type, status: is }) => ({ type, status: is })) },
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

/** The pod subnets of a Node; both undefined while the controller manager has assigned none. */
export function podSubnets(node: NodeObject): Subnets {
  const texts = node.spec?.podCIDRs?.length
    ? node.spec.podCIDRs
    : node.spec?.podCIDR
      ? [node.spec.podCIDR]
      : [];
  const subnets = texts.map(text => {
    const cidr = parseCidr(text);
    if (!cidr)
      throw new RipstopError(
        'ELEASE',
        `Node ${node.metadata.name}: podCIDR ${JSON.stringify(text)} is no CIDR`,
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
    if (text === undefined || text === '') return undefined;
    try {
      return JSON.parse(text);
    } catch {
      throw new RipstopError('ELEASE', `${where}: annotation ${key} is not JSON`);
    }
  };
  const value = {
    PublicIP: annotations[names.publicIp],
    PublicIPv6: annotations[names.publicIpv6],
    BackendType: annotations[names.backendType],
    BackendData: data(names.backendData),
    BackendV6Data: data(names.backendV6Data),
  };
  const attributes = parseAttributes(JSON.stringify(value), where);
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
        `podCIDR ${formatCidr(inner)} of Node ${name} is outside ${key} ${formatCidr(outer)}`,
        `make ${key} in net-conf.json equal to --cluster-cidr`,
      );
    return inner;
  };
  return { v4: pick('v4', 'Network'), v6: pick('v6', 'IPv6Network') };
}
