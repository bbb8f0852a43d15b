import { RipstopError } from '../../base/errors.ts';

/** What flannel's vxlan backend publishes in `BackendData` and `BackendV6Data`. */
export interface VxlanData {
  /** Undefined in leases of old flannel versions, which wrote the MAC alone. */
  readonly vni: number | undefined;
  /** Lower case, colon separated. */
  readonly mac: string;
}

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** The value with flannel's keys in flannel's order. */
export function formatVxlanData(vni: number, mac: string): { VNI: number; VtepMAC: string } {
  return { VNI: vni, VtepMAC: mac };
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
  return { vni: VNI as number | undefined, mac };
}
