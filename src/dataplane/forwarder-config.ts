import type { Mode } from '../../encap/encap.ts';
import { bitsOf, type Family } from '../ip/address.ts';
import type { Prefix } from '../ip/prefix.ts';
import type { EgressConfig } from './fast-path/classify-egress.ts';
import type { IngressConfig } from './fast-path/classify-ingress.ts';
import type { OwnRange } from './fast-path/own-range.ts';
import { packMac } from './tables/mac.ts';
import { addressWords } from './tables/peer-entries.ts';

/** The options that the forwarder depends on; part of `DataPlaneOptions`. */
export interface ForwarderOptions {
  readonly mode: Mode;
  readonly vni: number;
  readonly mac?: string | undefined;
  readonly mtu: number;
  readonly flood: boolean;
  readonly sourceCheck: boolean;
  /** Own pod subnets, at most one per family. With `sourceCheck`, packets to other addresses are dropped. */
  readonly ownSubnets?: readonly Prefix[] | undefined;
  readonly acceptPartialChecksums: boolean;
}

/**
 * The configuration of both directions.
 * @param flowSockets sending sockets with DF, which flows spread over
 * @throws RipstopError ECONFIG for a MAC that is none
 */
export function forwarderConfig(
  options: ForwarderOptions,
  flowSockets: number,
): { egress: EgressConfig; ingress: IngressConfig } {
  const { mode, vni, mtu } = options;
  const ethernet = mode === 'vxlan' ? 1 : 0;
  const flood = options.flood ? 1 : 0;
  const mac = ethernet === 1 ? packMac(options.mac ?? '', 'mac') : { hi: 0, lo: 0 };
  return {
    egress: { ethernet, flood, flowSockets },
    ingress: {
      ethernet,
      vni,
      macHi16: mac.hi,
      macLo32: mac.lo,
      flood,
      sourceCheck: options.sourceCheck ? 1 : 0,
      own: ownRange(options.ownSubnets ?? []),
      mtu,
      gsoPackets: options.acceptPartialChecksums ? 1 : 0,
    },
  };
}

/** Network and mask of this node's subnet of each family, in words; zeros where there is none. */
export function ownRange(subnets: readonly Prefix[]): OwnRange {
  const [four, six] = [rangeOf(subnets, 4), rangeOf(subnets, 6)];
  return {
    network4: four.network[0] ?? 0,
    mask4: four.mask[0] ?? 0,
    network6: Int32Array.from(six.network),
    mask6: Int32Array.from(six.mask),
  };
}

function rangeOf(subnets: readonly Prefix[], family: Family): { network: number[]; mask: number[] } {
  const subnet = subnets.find(one => one.family === family);
  const all = (1n << BigInt(bitsOf(family))) - 1n;
  const mask = subnet ? all ^ (all >> BigInt(subnet.length)) : 0n;
  return {
    network: addressWords({ family, value: (subnet?.value ?? 0n) & mask }),
    mask: addressWords({ family, value: mask }),
  };
}
