import { createLink, deleteLink, getLink } from '../../net/rtnetlink/links.ts';
import { ipamDocs } from '../config/fields.ts';
import { ipamType } from '../delegate/addresses.ts';
import { checkLink, failCheck } from '../link/checks.ts';
import { refuseExisting } from '../link/veth.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { OUTSIDE_GATEWAY, podLinkPlugin } from './pod-link.ts';

function readConfig({ config }: Call): { ipam: string } {
  const ipam = ipamType(config);
  if (ipam) return { ipam };
  throw new CniError(
    CODE.INVALID_CONFIG,
    'dummy interface requires an IPAM configuration',
    'ipam.type: name an address plugin, for example "static"',
  );
}

/** A device of the pod that drops what is sent by it: for addresses that a program listens on. */
export const dummy: Plugin = podLinkPlugin({
  name: 'dummy',
  docs: { keys: ipamDocs, differences: [OUTSIDE_GATEWAY] },
  dnsOfIpam: true,
  read: readConfig,
  create({ ifname }, { pod }, _config, undo) {
    refuseExisting(pod, ifname);
    createLink(pod, { kind: 'dummy', name: ifname });
    undo.push(`delete ${ifname}`, () => deleteLink(pod, ifname));
    return getLink(pod, ifname);
  },
  verify({ pod }, entry) {
    const link = checkLink(pod, entry, 'dummy');
    if (!link.up) failCheck(`Interface ${entry.name} is down`);
    return link;
  },
  status: call => void readConfig(call),
});
