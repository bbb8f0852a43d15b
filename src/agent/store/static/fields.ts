import {
  type Field,
  fail,
  flag,
  integer,
  listOf,
  objectOf,
  oneOf,
  required,
  text,
  withDefault,
} from '../../../base/schema.ts';
import { isLinkName } from '../../../net/rtnetlink/links.ts';
import { SETTING_NAMES, SETTINGS, type SettingName, settingField } from '../../config/settings.ts';
import { address, autoOr, mac, onePerFamily, subnet } from './values.ts';

/*
 * The keys of the file of `ripstop run`. This table and that of the settings are the only places where they are described:
 * reading, messages and docs/reference/configuration.md come from them.
 */

export const peerFields = {
  name: required(text('a name', 'identifies the peer in logs, counters and captures', /^[\w.:-]{1,63}$/)),
  address: required(address("underlay address, of the family of this node's")),
  subnets: required(
    onePerFamily(
      subnet('pod subnet'),
      'pod subnets of the peer, at most one per family; it may send from no others',
      1,
    ),
  ),
  mac: mac(
    'MAC of its VTEP (vxlan); needed only for a peer that does not derive it as Ripstop does, such as a kernel VXLAN',
  ),
  remoteChecksum: withDefault(
    flag(
      'remote checksum offload (vxlan): both nodes leave inner checksums partial, the outer checksum covers them; set it on both nodes, or on a kernel VXLAN remcsumtx and remcsumrx',
    ),
    false,
  ),
  offloadProofs: withDefault(
    flag(
      'the peer is a Ripstop node that answers the trains by which segmentation offload is proven; set it on both nodes',
    ),
    false,
  ),
};

/** Settings of the data plane without a default: an absent key is given by the cluster or the table of settings. */
const settingFields = (prefix: '' | 'offloads.'): Record<string, Field> =>
  Object.fromEntries(
    SETTING_NAMES.filter(name => name.startsWith('offloads.') === (prefix !== '')).map(name => [
      name.slice(prefix.length),
      settingField(SETTINGS[name]),
    ]),
  );

export const networkFields = {
  mode: withDefault(oneOf(['vxlan', 'udp'], "wire format: RFC 7348, or flannel's udp backend"), 'vxlan'),
  subnets: required(
    onePerFamily(subnet('pod subnet'), 'pod subnets of this node, at most one per family', 1),
  ),
  peers: withDefault(listOf(objectOf(peerFields, 'a peer'), 'the other nodes'), []),
  networks: withDefault(
    onePerFamily(
      subnet('network'),
      'pod networks of the cluster, at most one per family; they contain every subnet of the file, and udp mode routes them whole to the device',
      0,
    ),
    [],
  ),
  underlay: withDefault(
    text(
      'auto | interface | address',
      'where the peers are reached; auto: the interface of the default route',
    ),
    'auto',
  ),
  port: integer(1, 65535, 'UDP port of all nodes; 8472 in vxlan mode and 8285 in udp mode, as flannel'),
  vni: withDefault(integer(0, 0xffffff, 'VXLAN network identifier, equal on all nodes'), 1),
  device: {
    ...text('a device name', 'name of the device; flannel.<vni> in vxlan mode and flannel0 in udp mode'),
    read(raw: unknown, where: string): string {
      if (typeof raw === 'string' && isLinkName(raw)) return raw;
      return fail(
        where,
        `${JSON.stringify(raw)} is not a device name`,
        '1 to 15 bytes, no blank, slash or colon',
      );
    },
  },
  mac: mac("MAC of this node's VTEP (vxlan); derived from vni and underlay address when left out"),
  mtu: withDefault(
    autoOr(
      integer(68, 65535, 'largest packet of a pod; auto: the MTU of the underlay less the overhead', 'bytes'),
    ),
    'auto' as number | 'auto',
  ),
  namespace: withDefault(
    text(
      'a name of ip netns, or a path',
      'network namespace of the overlay; empty: that of the process; read at start only',
    ),
    '',
  ),
};

export const fileFields = {
  ...networkFields,
  ...settingFields(''),
  offloads: objectOf(settingFields('offloads.'), 'each can be switched off'),
};

/** Default of a key that is a setting, for the documentation. */
export function settingDefault(key: string): string | undefined {
  const setting = SETTINGS[key as SettingName] ?? SETTINGS[`offloads.${key}` as SettingName];
  return setting && String(setting.fallback);
}
