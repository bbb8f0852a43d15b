import { fail, flag, integer, oneOf, readObject, text, withDefault } from '../../base/schema.ts';

/** UDP port of flannel's udp backend. */
export const UDP_PORT = 8285;
/** UDP port of the Linux kernel's VXLAN, which flannel uses when none is given. */
export const VXLAN_PORT = 8472;

export interface UdpBackend {
  readonly type: 'udp';
  /** Listening port, and the destination port at every peer: it is not in the lease, so all nodes must agree. */
  readonly port: number;
}

export interface VxlanBackend {
  readonly type: 'vxlan';
  readonly vni: number;
  readonly port: number;
  /** MTU of the underlay in bytes, from which the overhead is taken; 0: the interface's. */
  readonly mtu: number;
  readonly gbp: boolean;
  readonly learning: boolean;
  /** Peers on the same link get a plain route instead of the tunnel. */
  readonly directRouting: boolean;
}

export interface HostGatewayBackend {
  readonly type: 'host-gw';
}

export type BackendConfig = UdpBackend | VxlanBackend | HostGatewayBackend;

const typeField = { Type: withDefault(text('text', 'name of the backend'), 'vxlan') };

/** Keys of `Backend` by its `Type`, as flannel names them. */
export const backendFields = {
  udp: {
    ...typeField,
    Port: withDefault(integer(1, 65535, 'UDP port to listen on and to send to'), UDP_PORT),
  },
  vxlan: {
    ...typeField,
    VNI: withDefault(integer(0, 0xffffff, 'VXLAN network identifier'), 1),
    Port: withDefault(integer(0, 65535, 'UDP port; 0 means 8472'), 0),
    MTU: withDefault(integer(0, 65535, 'MTU of the underlay; 0 means that of the interface', 'bytes'), 0),
    GBP: withDefault(flag('group policy extension (needs --data-plane=kernel)'), false),
    Learning: withDefault(flag('learn MAC addresses from traffic (kernel data plane only)'), false),
    DirectRouting: withDefault(flag('plain routes to peers on the same link'), false),
    MacPrefix: withDefault(text('text', 'Windows only; ignored'), ''),
    Name: withDefault(text('text', 'Windows only; ignored'), ''),
  },
  'host-gw': typeField,
} as const;

const KNOWN_ELSEWHERE = ['wireguard', 'ipip', 'ipsec', 'extension', 'alloc', 'tencent-vpc'];

/** The fields that hold for `type` (any case); ends with a clear error when Ripstop has no such backend. */
export function backendFieldsOf(
  type: unknown,
  where: string,
): (typeof backendFields)[keyof typeof backendFields] {
  const folded = typeof type === 'string' ? type.toLowerCase() : type;
  if (typeof folded === 'string' && KNOWN_ELSEWHERE.includes(folded))
    fail(where, `backend "${folded}" is flannel's, not Ripstop's`, 'choose udp, vxlan or host-gw');
  const word = oneOf(['udp', 'vxlan', 'host-gw'], 'backend').read(folded, where);
  return backendFields[word];
}

/** Reads an object whose keys already have their canonical case and whose unknown keys are gone. */
export function readBackend(raw: Record<string, unknown>, where: string, notes: string[]): BackendConfig {
  const fields = backendFieldsOf(raw.Type, `${where}.Type`);
  if (fields === backendFields.udp) {
    const read = readObject(backendFields.udp, raw, where);
    return { type: 'udp', port: read.Port };
  }
  if (fields === backendFields['host-gw']) {
    readObject(backendFields['host-gw'], raw, where);
    return { type: 'host-gw' };
  }
  const read = readObject(backendFields.vxlan, raw, where);
  for (const key of ['MacPrefix', 'Name'] as const)
    if (read[key]) notes.push(`${where}.${key} concerns Windows nodes only and is ignored here`);
  return {
    type: 'vxlan',
    vni: read.VNI,
    port: read.Port || VXLAN_PORT,
    mtu: read.MTU,
    gbp: read.GBP,
    learning: read.Learning,
    directRouting: read.DirectRouting,
  };
}
