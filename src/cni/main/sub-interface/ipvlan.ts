import { flag, oneOf, text, withDefault } from '../../../base/schema.ts';
import { IPVLAN_MODES, type IpvlanMode } from '../../../net/rtnetlink/link-kinds.ts';
import { dnsDocs, ipamDocs, mtuOnMasterField } from '../../config/fields.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { readPrevResult } from '../../config/network.ts';
import { ipamType, requireIpamType } from '../../delegate/addresses.ts';
import { failCheck } from '../../link/checks.ts';
import { refuseAs } from '../../skel/errors.ts';
import type { Plugin } from '../../skel/plugin.ts';
import { OUTSIDE_GATEWAY } from '../pod-link.ts';
import { subInterfacePlugin } from './sub-interface.ts';

const MODES = Object.keys(IPVLAN_MODES) as IpvlanMode[];

const ipvlanFields = {
  master: text(
    'an interface name',
    'device beneath; default: the only one of the chain, or that of the default route',
  ),
  mode: withDefault(oneOf(['', ...MODES], 'layer at which frames are told apart'), 'l2'),
  mtu: mtuOnMasterField,
  linkInContainer: withDefault(flag("the device beneath is in the pod's namespace"), false),
};

/** A device that shares the MAC address of a device of the node. */
export const ipvlan: Plugin = subInterfacePlugin({
  name: 'ipvlan',
  docs: {
    keys: { ...ipvlanFields, ...ipamDocs, ...dnsDocs },
    differences: [OUTSIDE_GATEWAY, 'An MTU above that of the device beneath is refused (code 7).'],
  },
  read(call) {
    const keys = readIgnoringUnknown(ipvlanFields, call.config, '');
    const mode: IpvlanMode = keys.mode || 'l2';
    const previous = readPrevResult(call);
    const [first, second] = previous?.interfaces ?? [];
    const only = second === undefined ? first?.name : undefined;
    if (call.command === 'ADD' && !keys.master && previous && !only) {
      refuseAs(
        'chained master failure. PrevResult lacks a single named interface',
        'master',
        'name the device beneath',
      );
    }
    const chained = !ipamType(call.config) && previous && previous.ips.length > 0;
    return {
      // On DEL and CHECK the previous result is this plugin's own.
      master: keys.master || (call.command === 'ADD' ? only : undefined),
      linkInContainer: keys.linkInContainer,
      mtu: keys.mtu,
      kind: { kind: 'ipvlan', ipvlan: { mode } },
      ipam: chained || call.command !== 'ADD' ? ipamType(call.config) : requireIpamType(call.config),
      given: chained ? previous : undefined,
    };
  },
  verify(config, link) {
    const wanted = config.kind.kind === 'ipvlan' ? config.kind.ipvlan.mode : undefined;
    const mode = link.details.ipvlan?.mode;
    if (mode !== wanted) failCheck(`ipvlan mode ${mode} does not match the configured ${wanted}`);
  },
});
