/*
 * Explicit congestion notification through a tunnel (RFC 6040), for a frame whose IP header is at `ip`. All hot: numbers in,
 * numbers out. Values of the field (RFC 3168 section 5) are the low two bits of the traffic class (TOS).
 */
export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const CE = 3;
/** Bits of the field in a traffic class. */
export const ECN_MASK = 3;

/** Result of `decapsulate`: the packet must be dropped. */
export const ILLEGAL = -1;

/**
 * Traffic class (TOS) of an IPv4 or IPv6 header.
 * @hot
 */
export function trafficClass(view: DataView, ip: number): number {
  const word = view.getUint16(ip);
  return word >>> 12 === 4 ? word & 0xff : (word >>> 4) & 0xff;
}

/**
 * Moves a congestion mark of the outer header into the inner one (RFC 6040 section 4.2, figure 4), with the checksum of an
 * IPv4 header:
 *
 *   inner \ outer   Not-ECT   ECT(0)    ECT(1)    CE
 *   Not-ECT         Not-ECT   Not-ECT   Not-ECT   drop
 *   ECT(0)          ECT(0)    ECT(0)    ECT(1)    CE
 *   ECT(1)          ECT(1)    ECT(1)    ECT(1)    CE
 *   CE              CE        CE        CE        CE
 *
 * A frame that is not IP has no such field and passes.
 * @param outer ECN field of the outer header
 * @returns the inner field as it was when it was changed, NOT_ECT when nothing was changed, or ILLEGAL
 * @hot
 */
export function decapsulate(view: DataView, ip: number, outer: number): number {
  const version = view.getUint8(ip) >>> 4;
  if (version !== 4 && version !== 6) return NOT_ECT;
  const inner = trafficClass(view, ip) & ECN_MASK;
  if (inner === NOT_ECT) return outer === CE ? ILLEGAL : NOT_ECT;
  if (inner === CE || (outer !== CE && !(outer === ECT_1 && inner === ECT_0))) return NOT_ECT;
  setEcn(view, ip, outer);
  return inner;
}

/**
 * Writes the ECN field of an IP header; in IPv4 the checksum follows (RFC 1624, equation 3), so that a wrong one stays wrong.
 * @hot
 */
export function setEcn(view: DataView, ip: number, ecn: number): void {
  const before = view.getUint16(ip);
  if (before >>> 12 !== 4) {
    view.setUint16(ip, (before & ~(ECN_MASK << 4)) | (ecn << 4));
    return;
  }
  const after = (before & ~ECN_MASK) | ecn;
  view.setUint16(ip, after);
  const sum = (~view.getUint16(ip + 10) & 0xffff) + (~before & 0xffff) + after;
  const folded = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(ip + 10, ~(folded + (folded >>> 16)) & 0xffff);
}
