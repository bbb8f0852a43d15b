import {
  type Field,
  flag,
  integer,
  listOf,
  oneOf,
  required,
  type Shape,
  text,
  withDefault,
} from '../../../base/schema.ts';
import { canonicalAddress, type Family, formatAddress } from '../../../ip/address.ts';
import { readAddress } from '../../config/addresses.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { runtimeConfig } from '../../config/runtime.ts';
import type { Result } from '../../result/types.ts';
import { given, hostPart, isV6 } from '../../result/types.ts';
import { BACKENDS, type BackendName } from '../../rules/backend.ts';
import { CniError, CODE, refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

/** Error code: the host port is forwarded to another pod already (100 and above are a plugin's own). */
const HOST_PORT_TAKEN = 100;

/** Kubernetes uses bits 14 and 15, Calico 20 to 31. */
const MARK_BIT = 13;

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** One line: what is handed on to iptables-restore or nft must not become a second command. */
const match = text('a match in one line', "a word of the backend's language", /^[^\n\r;{}]+$/);

export const portmapFields = {
  backend: withDefault(oneOf(['', ...BACKENDS], 'where rules are put'), ''),
  snat: withDefault(flag('let pods of the subnet and the node itself use the host ports'), true),
  masqAll: withDefault(flag('masquerade every forwarded connection, where snat is on'), false),
  markMasqBit: integer(0, 31, `bit of the packet mark that asks for masquerading, by default ${MARK_BIT}`),
  externalSetMarkChain: text(
    'a chain name',
    'iptables chain that sets the mark, in place of our own',
    /^[\w-]{0,28}$/,
  ),
  conditionsV4: listOf(match, 'further matches, IPv4'),
  conditionsV6: listOf(match, 'further matches, IPv6'),
};

function port(owner: string, doc: string): Field<number> {
  const field = integer(1, 65535, doc);
  const read = (raw: unknown, where: string): number => {
    if (typeof raw !== 'number' || raw > 0) return field.read(raw, where);
    throw new CniError(
      CODE.INVALID_CONFIG,
      `Invalid ${owner} port number: ${raw}`,
      `${where} takes ${field.type}`,
    );
  };
  return { ...field, read };
}

export const mappingFields = {
  hostPort: required(port('host', 'port of the node')),
  containerPort: required(port('container', 'port of the pod')),
  protocol: withDefault(text('tcp | udp | sctp', 'protocol'), 'tcp'),
  hostIP: text('an address', 'only this address of the node'),
};

interface Mapping {
  hostPort: number;
  containerPort: number;
  protocol: Protocol;
  /** Canonical; undefined: every address of the node. */
  hostIp: string | undefined;
}

export type PortmapConfig = ReturnType<typeof readConfig>;

/** @throws CniError 7, RipstopError ECONFIG */
export function readConfig(call: Call) {
  const keys = readIgnoringUnknown(portmapFields, call.config, '');
  if (keys.externalSetMarkChain && keys.markMasqBit !== undefined) {
    const sentence = 'Cannot specify externalSetMarkChain and markMasqBit';
    throw new CniError(CODE.INVALID_CONFIG, sentence, 'the chain sets a mark of its own');
  }
  return {
    ...keys,
    backend: backendOf(keys),
    /** Value of the packet mark's bit. */
    mark: 2 ** (keys.markMasqBit ?? MARK_BIT),
    mappings: readMappings(call),
  };
}

/** The back end that is named, otherwise the one whose words the configuration has. @throws CniError 7 for words of the other one */
function backendOf(keys: Shape<typeof portmapFields>): BackendName {
  const options: Record<BackendName, string[]> = { iptables: [], nftables: [] };
  if (keys.externalSetMarkChain) options.iptables.push('externalSetMarkChain');
  for (const key of ['conditionsV4', 'conditionsV6'] as const) {
    const [first] = keys[key] ?? [];
    if (first) options[/^[-!]/.test(first) ? 'iptables' : 'nftables'].push(key);
  }
  const backend = keys.backend || (options.iptables.length > 0 ? 'iptables' : 'nftables');
  const other = backend === 'iptables' ? 'nftables' : 'iptables';
  if (options[other].length === 0) return backend;
  throw new CniError(
    CODE.INVALID_CONFIG,
    `${backend} backend was requested but configuration contains ${other}-specific options [${options[other].join(' ')}]`,
    'conditions of iptables begin with "-" or "!"',
  );
}

/** The host ports that the runtime asks for. @throws CniError 7, RipstopError ECONFIG */
export function readMappings(call: Call): Mapping[] {
  const fields = { portMappings: listOf(passthroughObject(mappingFields, 'a host port'), 'host ports') };
  const { portMappings = [] } = readIgnoringUnknown(fields, runtimeConfig(call), 'runtimeConfig');
  return portMappings.map((one, index) => readMapping(one, `runtimeConfig.portMappings[${index}]`));
}

function readMapping(one: Shape<typeof mappingFields>, where: string): Mapping {
  const protocol = PROTOCOLS.find(known => known === (one.protocol || 'tcp').toLowerCase());
  if (!protocol) refuse(`${where}.protocol`, `"${one.protocol}" is not one of ${PROTOCOLS.join(', ')}`);
  // The unspecified address of a family asks for that family, on every address of the node.
  const hostIp = one.hostIP ? formatAddress(readAddress(one.hostIP, `${where}.hostIP`)) : undefined;
  return { hostPort: one.hostPort, containerPort: one.containerPort, protocol, hostIp };
}

/** The host ports of a pod. */
export interface HostPorts extends PortmapConfig {
  /** Addresses of the pod, at most one per family, as CIDRs. */
  pod: { v4?: string; v6?: string };
}

/**
 * @param result of the earlier plugins: addresses of another interface, or outside of a sandbox, are not those of the attachment
 * @param ifname interface of the attachment
 */
export function hostPortsOf(config: PortmapConfig, result: Result, ifname: string): HostPorts {
  const own = result.ips.filter(one => {
    const owner = one.interface === undefined ? undefined : result.interfaces[one.interface];
    return !owner || (owner.name === ifname && owner.sandbox);
  });
  const v4 = own.find(one => !isV6(one.address))?.address;
  const v6 = own.find(one => isV6(one.address))?.address;
  return { ...config, pod: given({ v4, v6 }) };
}

/** The host ports of one family. */
export interface FamilyPorts {
  family: Family;
  /** Address of the pod with its length. */
  cidr: string;
  mappings: Mapping[];
  /** Further matches, joined; '' for none. */
  conditions: string;
}

/** The families in which the pod has an address and host ports. */
export function familyPorts({ pod, mappings, conditionsV4, conditionsV6 }: HostPorts): FamilyPorts[] {
  const families = [
    { family: 4 as const, cidr: pod.v4, conditions: conditionsV4 },
    { family: 6 as const, cidr: pod.v6, conditions: conditionsV6 },
  ];
  return families.flatMap(({ family, cidr, conditions }) => {
    const own = mappingsOf(mappings, family === 6);
    return cidr && own.length > 0
      ? [{ family, cidr, mappings: own, conditions: conditions?.join(' ') ?? '' }]
      : [];
  });
}

/** The mappings that apply to one family; `hostIp` undefined for every address. */
export function mappingsOf(mappings: readonly Mapping[], v6: boolean): Mapping[] {
  const any = v6 ? '::' : '0.0.0.0';
  return mappings
    .filter(one => one.hostIp === undefined || isV6(one.hostIp) === v6)
    .map(one => (one.hostIp === any ? { ...one, hostIp: undefined } : one));
}

/** Address of the pod without its length, canonical. */
export const addressOf = ({ cidr }: FamilyPorts) => canonicalAddress(hostPart(cidr));

/** Address and port as a destination: `10.1.0.2:80`, `[fd00::2]:80`. */
export const destinationOf = (address: string, port: number) =>
  isV6(address) ? `[${address}]:${port}` : `${address}:${port}`;

/** A host port that is forwarded in one of the back ends. */
export interface Forwarding {
  protocol: string;
  hostPort: number;
  /** Address of the node; undefined: every one. */
  hostIp: string | undefined;
  /** Address of the pod, canonical. */
  address: string;
  containerPort: number;
  /** What the rule names: the container, or a chain of iptables. */
  owner: string;
}

/** Every mapping, as CHECK names it. */
export function describeAll(ports: FamilyPorts): string[] {
  return ports.mappings.map(one => describeMapping(one, addressOf(ports)));
}

/** The mappings that are not among `there`, as CHECK names them. */
export function missingMappings(ports: FamilyPorts, there: readonly Forwarding[]): string[] {
  const address = addressOf(ports);
  const isThere = (one: Mapping) =>
    there.some(
      other =>
        other.protocol === one.protocol &&
        other.hostPort === one.hostPort &&
        other.hostIp === one.hostIp &&
        other.address === address &&
        other.containerPort === one.containerPort,
    );
  return ports.mappings.filter(one => !isThere(one)).map(one => describeMapping(one, address));
}

/**
 * As with sockets, a port on every address and the same port on one address exclude each other.
 * @throws CniError 100 for a port that is among `others`
 */
export function refuseTaken(mappings: readonly Mapping[], others: readonly Forwarding[]): void {
  for (const { protocol, hostPort, hostIp } of mappings) {
    const other = others.find(
      one =>
        one.protocol === protocol &&
        one.hostPort === hostPort &&
        (one.hostIp === undefined || hostIp === undefined || one.hostIp === hostIp),
    );
    if (!other) continue;
    const target = destinationOf(other.address, other.containerPort);
    throw new CniError(
      HOST_PORT_TAKEN,
      `host port ${hostPort}/${protocol}${hostIp ? ` of ${hostIp}` : ''} is taken: ${other.owner} has it forwarded to ${target}`,
      'DEL that attachment or, when its container is gone, run GC on its network',
    );
  }
}

function describeMapping({ hostIp, hostPort, protocol, containerPort }: Mapping, address: string): string {
  const place = hostIp ? ` of ${hostIp}` : '';
  return `${hostPort}/${protocol}${place} to ${destinationOf(address, containerPort)}`;
}
