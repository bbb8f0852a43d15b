import { flag, integer, required, text, withDefault } from '../../../base/schema.ts';
import { dnsDocs, ipamDocs, mtuField } from '../../config/fields.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { requireIpamType } from '../../delegate/addresses.ts';
import { failCheck } from '../../link/checks.ts';
import type { Plugin } from '../../skel/plugin.ts';
import { OUTSIDE_GATEWAY } from '../pod-link.ts';
import { subInterfacePlugin } from './sub-interface.ts';

const vlanFields = {
  master: required(text('an interface name', 'device beneath', /./)),
  vlanId: withDefault(integer(0, 4094, 'VLAN whose tag frames carry on the device beneath'), 0),
  mtu: mtuField,
  linkInContainer: withDefault(flag("the device beneath is in the pod's namespace"), false),
};

/** A VLAN of a device of the node. */
export const vlan: Plugin = subInterfacePlugin({
  name: 'vlan',
  docs: { keys: { ...vlanFields, ...ipamDocs, ...dnsDocs }, differences: [OUTSIDE_GATEWAY] },
  read(call) {
    const { vlanId, ...keys } = readIgnoringUnknown(vlanFields, call.config, '');
    return { ...keys, kind: { kind: 'vlan', vlan: { id: vlanId } }, ipam: requireIpamType(call.config) };
  },
  verify(config, link) {
    const wanted = config.kind.kind === 'vlan' ? config.kind.vlan.id : undefined;
    const id = link.details.vlan?.id;
    if (id !== wanted) failCheck(`VLAN ${id} does not match the configured ${wanted}`);
  },
});
