import { described, flag, listOf, number, type Shape, text, withDefault } from '../../../base/schema.ts';
import { backendField, ipMasqField, mtuField } from '../../config/fields.ts';
import { passthroughObject, readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { requestedMac } from '../../config/runtime.ts';
import { ipamType } from '../../delegate/addresses.ts';
import { refuse, refuseAs } from '../../skel/errors.ts';
import { interfaceNameProblem } from '../../skel/names.ts';
import type { Call } from '../../skel/plugin.ts';

const VLAN_MAX = 4094;

/** The range is checked in the words of the reference plugin. */
const vlanId = (doc: string) => ({ ...described(doc, number), type: `a VLAN up to ${VLAN_MAX}` });

const trunkFields = {
  minID: vlanId('first VLAN of a range'),
  maxID: vlanId('last VLAN of a range'),
  id: vlanId('one VLAN'),
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
  vlan: withDefault(vlanId('VLAN of the port, untagged; 0: none'), 0),
  vlanTrunk: listOf(passthroughObject(trunkFields, 'VLANs'), 'VLANs of the port, tagged'),
  preserveDefaultVlan: withDefault(flag('leave the VLANs on the port that the bridge gives it'), false),
  macspoofchk: withDefault(flag('drop frames of the pod that carry a foreign MAC address'), false),
  enabledad: withDefault(flag('duplicate address detection in the pod'), false),
  disableContainerInterface: withDefault(flag("leave the pod's interface down"), false),
  portIsolation: withDefault(flag('no traffic between ports'), false),
};

export type BridgeConfig = ReturnType<typeof readConfig>;

/** @throws CniError 7 */
function trunkVlan(id: number, where: string, key: string): number {
  if (Number.isInteger(id) && id >= 1 && id <= VLAN_MAX) return id;
  refuseAs(`incorrect trunk ${key} parameter`, `${where}.${key}`, `${id} is not within 1..${VLAN_MAX}`);
}

/** Tagged VLANs of a trunk list, ascending, without doubles. @throws CniError 7 */
function readTrunk(list: readonly Shape<typeof trunkFields>[]): number[] {
  const ids = new Set<number>();
  list.forEach(({ minID, maxID, id }, index) => {
    const where = `vlanTrunk[${index}]`;
    if (minID !== undefined && maxID !== undefined) {
      const [first, last] = [trunkVlan(minID, where, 'minID'), trunkVlan(maxID, where, 'maxID')];
      if (first > last) {
        refuseAs('minID is greater than maxID in trunk parameter', where, `${first} and ${last}`);
      }
      for (let one = first; one <= last; one++) ids.add(one);
    } else if (minID !== maxID) {
      const missing = minID === undefined ? 'minID' : 'maxID';
      const sentence = `minID and maxID should be configured simultaneously, ${missing} is missing`;
      refuseAs(sentence, where, 'one VLAN alone is an id');
    }
    if (id !== undefined) ids.add(trunkVlan(id, where, 'id'));
  });
  return [...ids].sort((a, b) => a - b);
}

/** @throws CniError 7, RipstopError ECONFIG */
export function readConfig(call: Call) {
  const { vlanTrunk, ipMasqBackend, ...keys } = readIgnoringUnknown(bridgeFields, call.config, '');
  const bridge = keys.bridge || 'cni0';
  const fault = interfaceNameProblem(bridge);
  if (fault) refuse('bridge', `${fault.problem}: ${JSON.stringify(bridge)}`);
  if (!Number.isInteger(keys.vlan) || keys.vlan < 0 || keys.vlan > VLAN_MAX) {
    refuseAs(`invalid VLAN ID ${keys.vlan} (must be between 0 and ${VLAN_MAX})`, 'vlan', '0 stands for none');
  }
  if (keys.hairpinMode && keys.promiscMode) {
    refuseAs(
      'cannot set hairpin mode and promiscuous mode at the same time',
      'hairpinMode',
      'switch one off',
    );
  }
  const ipam = ipamType(call.config);
  if (ipam && keys.disableContainerInterface) {
    refuseAs(
      'cannot use IPAM when DisableContainerInterface flag is set',
      'disableContainerInterface',
      'an interface that is down has no routes',
    );
  }
  return {
    ...keys,
    bridge,
    isGateway: keys.isGateway || keys.isDefaultGateway,
    backend: ipMasqBackend || ('nftables' as const),
    trunk: readTrunk(vlanTrunk ?? []),
    /** A bridge that is created filters by VLANs: an empty trunk asks for that too. */
    vlanFiltering: keys.vlan !== 0 || vlanTrunk !== undefined,
    mac: requestedMac(call),
    ipam,
  };
}
