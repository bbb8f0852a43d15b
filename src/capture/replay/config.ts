import type { Mode } from '../../../encap/encap.ts';
import { FORMATS } from '../../../encap/formats.ts';
import { innerMtu } from '../../../encap/mtu.ts';
import { RipstopError } from '../../base/errors.ts';
import type { Peer } from '../../dataplane/descriptor/peer.ts';
import { parseAddress } from '../../ip/address.ts';

/** What a forwarder is told, checked by whoever read it. Names as in `DataPlaneOptions`. */
export interface ReplayConfig {
  readonly mode: Mode;
  /** Own underlay address. */
  readonly address: string;
  readonly port: number;
  readonly vni: number;
  /** MAC of the own VTEP (vxlan). */
  readonly mac?: string | undefined;
  readonly mtu: number;
  readonly underlayMtu: number;
  readonly flood: boolean;
  readonly sourceCheck: boolean;
  readonly peers: readonly Peer[];
}

/** A configuration that leaves to the machine what the machine would settle. */
export interface PartialReplayConfig extends Omit<ReplayConfig, 'address' | 'mtu'> {
  /** What a configuration names as the underlay: an address, an interface or `auto`. */
  readonly underlay: string;
  /** Own underlay address, when it is given apart. */
  readonly address?: string | undefined;
  /** Undefined for what the underlay MTU leaves. */
  readonly mtu?: number | undefined;
}

/** Settles own address and MTU without looking at the machine. Throws RipstopError ECONFIG; `where` names the file. */
export function resolveReplayConfig(draft: PartialReplayConfig, where: string): ReplayConfig {
  const { underlay, ...rest } = draft;
  const address = draft.address ?? (parseAddress(underlay) ? underlay : undefined);
  const refuse = (what: string, hint: string): never => {
    throw new RipstopError('ECONFIG', what, hint);
  };
  if (address === undefined)
    return refuse(`${where}: the underlay is "${underlay}"`, 'give the own underlay address with --address');
  const family = parseAddress(address)?.family;
  if (family === undefined)
    return refuse(`"${address}" is not an IP address`, 'give the own underlay address');
  for (const peer of draft.peers)
    if (parseAddress(peer.address)?.family !== family)
      refuse(
        `${where}: peer "${peer.id}": ${peer.address} is no IPv${family} address`,
        'give the own address of its family',
      );
  return { ...rest, address, mtu: draft.mtu ?? innerMtu(FORMATS[draft.mode], family, draft.underlayMtu) };
}
