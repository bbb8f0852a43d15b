import type { Mode } from '../../encap/encap.ts';
import type { EgressConfig } from './fast-path/classify-egress.ts';
import type { IngressConfig } from './fast-path/classify-ingress.ts';
import { packMac } from './tables/mac.ts';

/** The options that the forwarder depends on; part of `DataPlaneOptions`. */
export interface ForwarderOptions {
  readonly mode: Mode;
  readonly vni: number;
  readonly mac?: string | undefined;
  readonly mtu: number;
  readonly flood: boolean;
  readonly sourceCheck: boolean;
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
      mtu,
      gsoPackets: options.acceptPartialChecksums ? 1 : 0,
    },
  };
}
