import { flag, integer, text, withDefault } from '../../../base/schema.ts';
import { dnsDocs, ipamDocs, mtuOnMasterField } from '../../config/fields.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { requireIpamType } from '../../delegate/addresses.ts';
import { failCheck } from '../../link/checks.ts';
import { refuseAs } from '../../skel/errors.ts';
import type { Plugin } from '../../skel/plugin.ts';
import { OUTSIDE_GATEWAY } from '../pod-link.ts';
import { subInterfacePlugin } from './sub-interface.ts';

const vlanFields = {
  master: text('an interface name', 'device beneath, required'),
  vlanId: withDefault(integer(0, 4094, 'VLAN whose tag frames carry on the device beneath'), 0),
  mtu: mtuOnMasterField,
  linkInContainer: withDefault(flag("the device beneath is in the pod's namespace"), false),
};

/** A VLAN of a device of the node. */
export const vlan: Plugin = subInterfacePlugin({
  name: 'vlan',
  docs: { keys: { ...vlanFields, ...ipamDocs, ...dnsDocs }, differences: [OUTSIDE_GATEWAY] },
  read(call) {
    const { vlanId, ...keys } = readIgnoringUnknown(vlanFields, call.config, '');
    if (!keys.master) {
      const sentence =
        '"master" field is required. It specifies the host interface name to create the VLAN for';
      refuseAs(sentence, 'master', 'is missing');
    }
    return { ...keys, kind: { kind: 'vlan', vlan: { id: vlanId } }, ipam: requireIpamType(call.config) };
  },
  verify(config, link) {
    const wanted = config.kind.kind === 'vlan' ? config.kind.vlan.id : undefined;
    const id = link.details.vlan?.id;
    if (id !== wanted) failCheck(`VLAN ${id} does not match the configured ${wanted}`);
  },
});
