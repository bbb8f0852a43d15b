import { flag, integer, oneOf, text, withDefault } from '../../../base/schema.ts';
import { MACVLAN_MODES, type MacvlanMode } from '../../../net/rtnetlink/link-kinds.ts';
import { dnsDocs, ipamDocs, macDocs, macField, mtuOnMasterField } from '../../config/fields.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { requestedMac } from '../../config/runtime.ts';
import { ipamType } from '../../delegate/addresses.ts';
import { failCheck } from '../../link/checks.ts';
import type { Plugin } from '../../skel/plugin.ts';
import { OUTSIDE_GATEWAY } from '../pod-link.ts';
import { subInterfacePlugin } from './sub-interface.ts';

const MODES = Object.keys(MACVLAN_MODES) as MacvlanMode[];

const macvlanFields = {
  master: text('an interface name', 'device beneath; default: that of the default route'),
  mode: withDefault(oneOf(['', ...MODES], 'who may talk to whom'), 'bridge'),
  mtu: mtuOnMasterField,
  mac: macField,
  linkInContainer: withDefault(flag("the device beneath is in the pod's namespace"), false),
  bcqueuelen: integer(0, 0xffffffff, 'length of the queue for broadcasts', 'packets'),
};

/** A device of its own MAC address on a device of the node. */
export const macvlan: Plugin = subInterfacePlugin({
  name: 'macvlan',
  docs: {
    keys: { ...macvlanFields, ...macDocs, ...ipamDocs, ...dnsDocs },
    differences: [OUTSIDE_GATEWAY, 'args.cni.mac is read as well.'],
  },
  read(call) {
    const keys = readIgnoringUnknown(macvlanFields, call.config, '');
    const mode: MacvlanMode = keys.mode || 'bridge';
    const queue = keys.bcqueuelen === undefined ? {} : { broadcastQueueLength: keys.bcqueuelen };
    return {
      master: keys.master || undefined,
      linkInContainer: keys.linkInContainer,
      mtu: keys.mtu,
      mac: requestedMac(call) ?? (keys.mac || undefined),
      kind: { kind: 'macvlan', macvlan: { mode, ...queue } },
      ipam: ipamType(call.config),
    };
  },
  verify(config, link) {
    const wanted = config.kind.kind === 'macvlan' ? config.kind.macvlan.mode : undefined;
    const mode = link.details.macvlan?.mode;
    if (mode !== wanted) failCheck(`macvlan mode ${mode} does not match the configured ${wanted}`);
  },
});
