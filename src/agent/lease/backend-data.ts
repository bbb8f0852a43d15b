import { RipstopError } from '../../base/errors.ts';

/** What flannel's vxlan backend publishes in `BackendData` and `BackendV6Data`. */
export interface VxlanData {
  /** Undefined in leases of old flannel versions, which wrote the MAC alone. */
  readonly vni: number | undefined;
  /** Lower case, colon separated. */
  readonly mac: string;
  /** The node leaves inner checksums open for those who do the same, and takes them so (decision 0003). */
  readonly remoteChecksum: boolean;
}

/** Our key beside flannel's, which passes over keys that it does not know. */
const REMOTE_CHECKSUM = 'RipstopRemoteChecksum';

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** The value with flannel's keys in flannel's order; ours only when it says something. */
export function formatVxlanData({ vni, mac, remoteChecksum }: VxlanData): Record<string, unknown> {
  return { VNI: vni, VtepMAC: mac, ...(remoteChecksum ? { [REMOTE_CHECKSUM]: true } : {}) };
}

/** Reads the value. Throws RipstopError ELEASE with a sentence that names `where`. */
export function parseVxlanData(raw: unknown, where: string): VxlanData {
  if (typeof raw !== 'object' || raw === null)
    throw new RipstopError('ELEASE', `${where}: no VXLAN data in the lease`);
  const { VNI, VtepMAC } = raw as Record<string, unknown>;
  const mac = typeof VtepMAC === 'string' ? VtepMAC.toLowerCase() : '';
  if (!MAC.test(mac))
    throw new RipstopError('ELEASE', `${where}: VtepMAC ${JSON.stringify(VtepMAC)} is no MAC address`);
  if (mac === '00:00:00:00:00:00' || Number.parseInt(mac.slice(0, 2), 16) & 1)
    throw new RipstopError('ELEASE', `${where}: VtepMAC ${mac} is no unicast address`);
  if (VNI !== undefined && !(typeof VNI === 'number' && Number.isInteger(VNI) && VNI >= 0 && VNI <= 0xffffff))
    throw new RipstopError('ELEASE', `${where}: VNI ${JSON.stringify(VNI)} is no 24-bit number`);
  return {
    vni: VNI as number | undefined,
    mac,
    remoteChecksum: (raw as Record<string, unknown>)[REMOTE_CHECKSUM] === true,
  };
}
