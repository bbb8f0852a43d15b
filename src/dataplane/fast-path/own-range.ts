/** Own pod subnets, as words of network and mask. Every address is inside a mask of zeros. */
export interface OwnRange {
  readonly network4: number;
  readonly mask4: number;
  readonly network6: Int32Array;
  readonly mask6: Int32Array;
}

/** Packets to every destination pass. */
export const ANY_DESTINATION: OwnRange = {
  network4: 0,
  mask4: 0,
  network6: new Int32Array(4),
  mask6: new Int32Array(4),
};

/**
 * 1 when the destination is in a subnet of this node, or a group: the kernel does not forward to groups.
 * @hot
 */
export function isForUs4(view: DataView, ip: number, own: OwnRange): number {
  if ((view.getInt32(ip + 16) & own.mask4) === own.network4) return 1;
  return view.getUint8(ip + 16) >= 224 ? 1 : 0;
}

/**
 * The same for IPv6; the kernel does not forward to link-local addresses either.
 * @hot
 */
export function isForUs6(view: DataView, ip: number, own: OwnRange): number {
  const network = own.network6;
  const mask = own.mask6;
  if (
    (view.getInt32(ip + 24) & mask[0]!) === network[0]! &&
    (view.getInt32(ip + 28) & mask[1]!) === network[1]! &&
    (view.getInt32(ip + 32) & mask[2]!) === network[2]! &&
    (view.getInt32(ip + 36) & mask[3]!) === network[3]!
  )
    return 1;
  return view.getUint8(ip + 24) >= 0xfe ? 1 : 0;
}
