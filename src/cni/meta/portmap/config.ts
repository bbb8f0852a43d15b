import { flag, integer, listOf, oneOf, text, withDefault } from '../../../base/schema.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { runtimeConfig } from '../../config/runtime.ts';
import { readAddress, writeAddress } from '../../ipam/address-number.ts';
import type { Result } from '../../result/types.ts';
import { isV6 } from '../../result/types.ts';
import { BACKENDS, type Backend } from '../../rules/masquerade.ts';
import { refuse } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';

/** Error code: the host port is forwarded to another pod already (100 and above are a plugin's own). */
export const HOST_PORT_TAKEN = 100;

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** One line: what is handed on to iptables-restore or nft must not become a second command. */
const match = text('a match in one line', "a word of the backend's language", /^[^\n\r;{}]+$/);

/** Keys of a portmap plugin. */
export const portmapFields = {
  backend: withDefault(oneOf(['', ...BACKENDS], 'where rules are put'), ''),
  snat: withDefault(flag('let pods of the subnet and the node itself use the host ports'), true),
  masqAll: withDefault(flag('masquerade every forwarded connection'), false),
  markMasqBit: withDefault(integer(0, 31, 'bit of the packet mark that asks for masquerading'), 13),
  externalSetMarkChain: text(
    'a chain name',
    'iptables chain that sets the mark, in place of our own',
    /^[\w-]{0,28}$/,
  ),
  conditionsV4: listOf(match, 'further matches, IPv4'),
  conditionsV6: listOf(match, 'further matches, IPv6'),
};

const mappingFields = {
  hostPort: integer(0, 65535, 'port of the node'),
  containerPort: integer(0, 65535, 'port of the pod'),
  protocol: withDefault(text('tcp | udp | sctp', 'protocol'), 'tcp'),
  hostIP: text('an address', 'only this address of the node'),
};

export interface Mapping {
  hostPort: number;
  containerPort: number;
  protocol: Protocol;
  /** Canonical; undefined: every address of the node. */
  hostIp: string | undefined;
}

export interface PortmapConfig {
  backend: Backend;
  snat: boolean;
  masqAll: boolean;
  /** Value of the packet mark's bit. */
  mark: number;
  externalSetMarkChain: string | undefined;
  conditionsV4: string[];
  conditionsV6: string[];
  mappings: Mapping[];
}

/** @throws CniError 7, RipstopError ECONFIG */
export function readConfig(call: Call): PortmapConfig {
  const keys = readIgnoringUnknown(portmapFields, call.config, '');
  const fields = { portMappings: listOf(passthroughObject(mappingFields, 'a host port'), 'host ports') };
  const { portMappings } = readIgnoringUnknown(fields, runtimeConfig(call), 'runtimeConfig');
  const backend: Backend = keys.backend || (keys.externalSetMarkChain ? 'iptables' : 'nftables');
  if (backend === 'nftables' && keys.externalSetMarkChain) {
    refuse('externalSetMarkChain', 'is a chain of iptables and cannot be used with the nftables backend');
  }
  return {
    backend,
    snat: keys.snat,
    masqAll: keys.masqAll,
    mark: 2 ** keys.markMasqBit,
    externalSetMarkChain: keys.externalSetMarkChain || undefined,
    conditionsV4: keys.conditionsV4 ?? [],
    conditionsV6: keys.conditionsV6 ?? [],
    mappings: (portMappings ?? []).map((one, index) =>
      readMapping(one, `runtimeConfig.portMappings[${index}]`),
    ),
  };
}

function readMapping(
  one: {
    hostPort?: number | undefined;
    containerPort?: number | undefined;
    protocol: string;
    hostIP?: string | undefined;
  },
  where: string,
): Mapping {
  if (!one.hostPort)
    refuse(`${where}.hostPort`, `Invalid host port number: ${one.hostPort ?? 'none'}`, 'it takes 1..65535');
  if (!one.containerPort) {
    refuse(
      `${where}.containerPort`,
      `Invalid container port number: ${one.containerPort ?? 'none'}`,
      'it takes 1..65535',
    );
  }
  const protocol = PROTOCOLS.find(known => known === (one.protocol || 'tcp').toLowerCase());
  if (!protocol) refuse(`${where}.protocol`, `"${one.protocol}" is not one of ${PROTOCOLS.join(', ')}`);
  let hostIp: string | undefined;
  if (one.hostIP) {
    const { v6, value } = readAddress(one.hostIP, `${where}.hostIP`);
    // The unspecified address of a family asks for that family, on every address of the node.
    hostIp = writeAddress(v6, value);
  }
  return { hostPort: one.hostPort, containerPort: one.containerPort, protocol, hostIp };
}

/** Addresses of the pod, one a family, as CIDRs: those of the previous result that are in a sandbox. */
export function podAddresses(result: Result): { v4?: string; v6?: string } {
  const inside = result.ips.filter(one => {
    const owner = one.interface === undefined ? undefined : result.interfaces[one.interface];
    return !owner || owner.sandbox;
  });
  const v4 = inside.find(one => !isV6(one.address))?.address;
  const v6 = inside.find(one => isV6(one.address))?.address;
  return { ...(v4 ? { v4 } : {}), ...(v6 ? { v6 } : {}) };
}

/** The mappings that apply to one family; `hostIp` undefined for every address. */
export function mappingsOf(mappings: readonly Mapping[], v6: boolean): Mapping[] {
  const any = v6 ? '::' : '0.0.0.0';
  return mappings
    .filter(one => one.hostIp === undefined || isV6(one.hostIp) === v6)
    .map(one => (one.hostIp === any ? { ...one, hostIp: undefined } : one));
}
