import { formatKey, type LeaseAttributes, type Subnets } from '../../../src/agent/lease/lease.ts';
import { parsePrefix } from '../../../src/ip/prefix.ts';

/** A node that exists only in the store. */
export interface Foreign {
  readonly name: string;
  /** flannel's key of its subnets. */
  readonly key: string;
  readonly subnets: readonly [v4: string, v6: string];
  readonly attributes: LeaseAttributes;
}

const hex = (value: number): string => value.toString(16).padStart(2, '0');

/** Pod networks of a churn run: the lab's nodes and the foreign ones have their subnets in them. */
export const NETWORK = { v4: '10.0.0.0/8', v6: 'fd00:10::/32' };

/**
 * The node of this number. Names and addresses are those of no other node up to half a million, so that whatever is kept by
 * name or by address grows. Only the subnets come again, after 16 384 nodes.
 * @param version the node moves to another address and another MAC with each one
 */
export function foreign(number: number, version = 0): Foreign {
  const [a, b] = [(number >> 8) & 63, number & 255];
  const subnets = [`10.${96 + a}.${b}.0/24`, `fd00:10:96:${(number & 0x3fff).toString(16)}::/64`] as const;
  const [v4, v6] = subnets.map(text => parsePrefix(text));
  const high = (number >> 16) & 7;
  const [c, d] = [(number >> 8) & 255, number & 255];
  const mac = (kind: string): string => `0a:${kind}:${hex(version)}:${hex(high)}:${hex(c)}:${hex(d)}`;
  return {
    name: `far-${number}`,
    key: formatKey({ v4, v6 } as Subnets),
    subnets,
    attributes: {
      publicIp: `172.${16 + high + 8 * (version & 1)}.${c}.${d}`,
      publicIpv6: `fd31:${(version + 1).toString(16)}::${number.toString(16)}`,
      backendType: 'vxlan',
      backendData: { VNI: 1, VtepMAC: mac('99') },
      backendV6Data: { VNI: 1, VtepMAC: mac('98') },
    },
  };
}
