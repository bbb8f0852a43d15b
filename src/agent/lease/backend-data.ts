import { anyValue, fail, integer, openObject, readAs, required, string } from '../../base/schema.ts';

/** What flannel's vxlan backend publishes in `BackendData` and `BackendV6Data`. */
export interface VxlanData {
  /** Undefined in leases of old flannel versions, which wrote the MAC alone. */
  readonly vni: number | undefined;
  /** Lower case, colon separated. */
  readonly mac: string;
  /** The node leaves inner checksums partial towards nodes that do the same (decision 0003). */
  readonly remoteChecksum: boolean;
  /** The node answers which datagrams of a train arrived (decision 0153). */
  readonly offloadProofs: boolean;
}

/** Not keys of flannel, which ignores unknown keys. */
const REMOTE_CHECKSUM = 'RipstopRemoteChecksum';
const OFFLOAD_PROOFS = 'RipstopOffloadProofs';
/** Value of OFFLOAD_PROOFS: the version of the messages (encap/offload-proof.ts). */
const PROOF_VERSION = 1;

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * The value with flannel's keys in flannel's order, and our keys if they are true. The MAC is the last key: at its start flanneld
 * takes the text behind the first `:"` of a Node's annotation as the MAC of its device (GetStoredMacAddresses, pkg/subnet/kube).
 */
export function formatVxlanData({
  vni,
  mac,
  remoteChecksum,
  offloadProofs,
}: VxlanData): Record<string, unknown> {
  return {
    VNI: vni,
    ...(remoteChecksum ? { [REMOTE_CHECKSUM]: true } : {}),
    ...formatUdpData(offloadProofs),
    VtepMAC: mac,
  };
}

/** The value in udp mode, for which flannel has no keys; undefined: none. */
export function formatUdpData(offloadProofs: boolean): Record<string, unknown> | undefined {
  return offloadProofs ? { [OFFLOAD_PROOFS]: PROOF_VERSION } : undefined;
}

/** True when the backend data of a node, in either mode, says that it answers trains of this version. */
export function announcesProofs(raw: unknown): boolean {
  return (
    typeof raw === 'object' &&
    raw !== null &&
    Object.getOwnPropertyDescriptor(raw, OFFLOAD_PROOFS)?.value === PROOF_VERSION
  );
}

const vxlanFields = openObject(
  {
    VNI: integer(0, 0xffffff, 'VXLAN network identifier'),
    VtepMAC: required(string),
    [REMOTE_CHECKSUM]: anyValue(),
    [OFFLOAD_PROOFS]: anyValue(),
  },
  'VXLAN data',
);

/** True when a Ripstop node wrote this value: it has a key of ours. */
export function isOwnFormat(raw: unknown): boolean {
  if (typeof raw !== 'object' || raw === null) return false;
  return Object.hasOwn(raw, REMOTE_CHECKSUM) || Object.hasOwn(raw, OFFLOAD_PROOFS);
}

/** Reads the value. @throws RipstopError ELEASE, with a sentence that names `where` */
export function parseVxlanData(raw: unknown, where: string): VxlanData {
  return readAs('ELEASE', () => {
    if (raw === undefined) fail(where, 'no VXLAN data in the lease');
    const { VNI: vni, VtepMAC, [REMOTE_CHECKSUM]: remoteChecksum } = vxlanFields.read(raw, where);
    const mac = VtepMAC.toLowerCase();
    if (!MAC.test(mac) || mac === '00:00:00:00:00:00' || Number.parseInt(mac.slice(0, 2), 16) & 1)
      fail(`${where}.VtepMAC`, `${JSON.stringify(VtepMAC)} is not a unicast MAC address`);
    return { vni, mac, remoteChecksum: remoteChecksum === true, offloadProofs: announcesProofs(raw) };
  });
}
