import { flag, integer, listOf, type Shape, text, withDefault } from '../../../base/schema.ts';
import { backendField, ipMasqField, mtuField } from '../../config/fields.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { requestedMac } from '../../config/runtime.ts';
import { ipamType } from '../../delegate/addresses.ts';
import { refuse } from '../../skel/errors.ts';
import { interfaceNameProblem } from '../../skel/names.ts';
import type { Call } from '../../skel/plugin.ts';

const VLAN_MAX = 4094;

const vlanId = (least: number, doc: string) => integer(least, VLAN_MAX, doc);

const trunkFields = {
  minID: vlanId(0, 'first VLAN of a range'),
  maxID: vlanId(0, 'last VLAN of a range'),
  id: vlanId(0, 'one VLAN'),
};

export const bridgeFields = {
  bridge: withDefault(text('an interface name', 'name of the bridge'), 'cni0'),
  isGateway: withDefault(flag('put the gateway address on the bridge'), false),
  isDefaultGateway: withDefault(flag('and route everything to it'), false),
  forceAddress: withDefault(flag("replace another address on the bridge by the network's"), false),
  ipMasq: ipMasqField,
  ipMasqBackend: backendField,
  mtu: mtuField,
  hairpinMode: withDefault(flag('frames may leave by the port that they came in by'), false),
  promiscMode: withDefault(flag('set the bridge promiscuous'), false),
  vlan: withDefault(vlanId(0, 'VLAN of the port, untagged; 0: none'), 0),
  vlanTrunk: listOf(passthroughObject(trunkFields, 'VLANs'), 'VLANs of the port, tagged'),
  preserveDefaultVlan: withDefault(flag('leave the default VLAN on the port'), true),
  macspoofchk: withDefault(flag('drop frames of the pod that carry a foreign MAC address'), false),
  enabledad: withDefault(flag('duplicate address detection in the pod'), false),
  disableContainerInterface: withDefault(flag("leave the pod's interface down"), false),
  portIsolation: withDefault(flag('no traffic between ports'), false),
};

export type BridgeConfig = ReturnType<typeof readConfig>;

/** Tagged VLANs of a trunk list, ascending, without doubles. @throws CniError 7 */
function readTrunk(list: readonly Shape<typeof trunkFields>[]): number[] {
  const ids = new Set<number>();
  list.forEach(({ minID, maxID, id }, index) => {
    const where = `vlanTrunk[${index}]`;
    if (minID === undefined && maxID === undefined && id === undefined)
      refuse(where, 'needs minID and maxID, or id');
    if ((minID === undefined) !== (maxID === undefined)) refuse(where, 'minID and maxID belong together');
    if (minID !== undefined && maxID !== undefined) {
      if (minID > maxID) refuse(where, `minID ${minID} is greater than maxID ${maxID}`);
      for (let one = Math.max(minID, 1); one <= maxID; one++) ids.add(one);
    }
    if (id) ids.add(id);
  });
  return [...ids].sort((a, b) => a - b);
}

/** @throws CniError 7, RipstopError ECONFIG */
export function readConfig(call: Call) {
  const { vlanTrunk, ipMasqBackend, ...keys } = readIgnoringUnknown(bridgeFields, call.config, '');
  const bridge = keys.bridge || 'cni0';
  const fault = interfaceNameProblem(bridge);
  if (fault) refuse('bridge', `${fault.problem}: ${JSON.stringify(bridge)}`);
  if (keys.hairpinMode && keys.promiscMode) {
    refuse('hairpinMode', 'cannot set hairpin mode and promiscuous mode at the same time.');
  }
  const ipam = ipamType(call.config);
  if (ipam && keys.disableContainerInterface) {
    refuse('disableContainerInterface', 'cannot use IPAM when DisableContainerInterface flag is set');
  }
  return {
    ...keys,
    bridge,
    isGateway: keys.isGateway || keys.isDefaultGateway,
    backend: ipMasqBackend || ('nftables' as const),
    trunk: readTrunk(vlanTrunk ?? []),
    mac: requestedMac(call),
    ipam,
  };
}
