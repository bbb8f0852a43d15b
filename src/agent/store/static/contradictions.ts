import { RipstopError } from '../../../base/errors.ts';
import { checkDriver } from '../../../dataplane/open-descriptors.ts';
import { parseAddress } from '../../../ip/address.ts';
import { ResolvedSettings } from '../../config/settings.ts';
import type { AgentOptions } from '../../inputs/options.ts';
import { planOverlays } from '../../inputs/plan.ts';
import { derivedMacs } from '../../inputs/resolve.ts';
import type { RejectedLease } from '../../lease/rejected-lease.ts';
import { selectPeers } from '../../overlay/peer-selector.ts';
import { networkConfigOf, ownLease, peerLease, type StaticFile } from './static-file.ts';

/** The largest MTU that an underlay can have, bytes. */
const MTU_MAX = 65535;

/**
 * The peers of a file that a node with this file would refuse, as the file contradicts itself: two peers with one
 * address, MAC or pod subnet, or a peer with what is this node's.
 * @param address own underlay address; the file's, when undefined. Where that is not an address, those of the peers are
 *   not compared with it.
 * @throws RipstopError ECONFIG for an MTU that no underlay allows
 */
export function contradictionsOf(file: StaticFile, address?: string): readonly RejectedLease[] {
  const config = networkConfigOf(file);
  const family = config.single?.family ?? 4;
  const given = address ?? file.underlay;
  const host = parseAddress(given) ? given : family === 4 ? '0.0.0.0' : '::';
  const [address4, address6] = family === 4 ? [host, undefined] : [undefined, host];
  const addresses = { address4, address6, public4: address4, public6: address6 };
  const underlay = { index: 0, name: 'mtu', mtu: MTU_MAX, ...addresses };
  const none = {
    publicIp: undefined,
    publicIpv6: undefined,
    backendData: undefined,
    backendV6Data: undefined,
  };
  const lease = ownLease(file, { ...none, backendType: file.mode }, undefined);
  const macs = derivedMacs(config, underlay) ?? { mac4: '', mac6: '' };
  const leases = file.peers.map(peer => peerLease(peer, file));
  return planOverlays({ config, underlay, lease, macs }).flatMap(
    plan => selectPeers({ plan, config, own: lease, onLink: () => true, underlay: [] }, leases).rejected,
  );
}

/**
 * Holds a file against everything that a start holds it against before it changes the node.
 * @throws RipstopError ECONFIG
 */
export function checkFile(file: StaticFile, path: string, { settings, netns }: AgentOptions): void {
  const { driver, workers } = new ResolvedSettings({ flag: settings, file: file.settings }).values;
  checkDriver({ driver, netns, queues: workers });
  const refused = contradictionsOf(file).map(({ key, message }) => `peer "${key}" ${message}`);
  if (refused.length > 0)
    throw new RipstopError('ECONFIG', `${path}: ${refused.join('; ')}`, 'a node ignores such a peer');
}
