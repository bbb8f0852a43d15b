import { anyValue, fail, integer, openObject, readAs, required, string } from '../../base/schema.ts';

/** What flannel's vxlan backend publishes in `BackendData` and `BackendV6Data`. */
export interface VxlanData {
  /** Undefined in leases of old flannel versions, which wrote the MAC alone. */
  readonly vni: number | undefined;
  /** Lower case, colon separated. */
  readonly mac: string;
  /** The node leaves inner checksums partial towards nodes that do the same (decision 0003). */
  readonly remoteChecksum: boolean;
}

/** Not a key of flannel, which ignores unknown keys. */
const REMOTE_CHECKSUM = 'RipstopRemoteChecksum';

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * The value with flannel's keys in flannel's order, and our key if it is true. The MAC is the last key: at its start flanneld
 * takes the text behind the first `:"` of a Node's annotation as the MAC of its device (GetStoredMacAddresses, pkg/subnet/kube).
 */
export function formatVxlanData({ vni, mac, remoteChecksum }: VxlanData): Record<string, unknown> {
  return { VNI: vni, ...(remoteChecksum ? { [REMOTE_CHECKSUM]: true } : {}), VtepMAC: mac };
}

const vxlanFields = openObject(
  {
    VNI: integer(0, 0xffffff, 'VXLAN network identifier'),
    VtepMAC: required(string),
    [REMOTE_CHECKSUM]: anyValue(),
  },
  'VXLAN data',
);

/** True when a Ripstop node wrote this value: it has a key of ours. */
export function isOwnFormat(raw: unknown): boolean {
  return typeof raw === 'object' && raw !== null && Object.hasOwn(raw, REMOTE_CHECKSUM);
}

/** Reads the value. @throws RipstopError ELEASE, with a sentence that names `where` */
export function parseVxlanData(raw: unknown, where: string): VxlanData {
  return readAs('ELEASE', () => {
    if (raw === undefined) fail(where, 'no VXLAN data in the lease');
    const { VNI: vni, VtepMAC, [REMOTE_CHECKSUM]: remoteChecksum } = vxlanFields.read(raw, where);
    const mac = VtepMAC.toLowerCase();
    if (!MAC.test(mac) || mac === '00:00:00:00:00:00' || Number.parseInt(mac.slice(0, 2), 16) & 1)
      fail(`${where}.VtepMAC`, `${JSON.stringify(VtepMAC)} is not a unicast MAC address`);
    return { vni, mac, remoteChecksum: remoteChecksum === true };
  });
}
