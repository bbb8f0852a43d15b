/*
 * Segmentation, slow and obvious: every segment is built header by header and summed byte by byte. What the native code
 * sends is compared with this.
 */

/** A frame with what its virtio-net header says. */
export interface Offloaded {
  readonly bytes: Uint8Array;
  /** virtio gso_type: 0 none, 1 TCPv4, 4 TCPv6, 5 UDP. */
  readonly gsoType: number;
  readonly gsoSize: number;
  /** Bytes before the L4 header. */
  readonly l4: number;
  /** Bytes before the IP header. */
  readonly l3: number;
  readonly needsCsum: boolean;
}

/** One's complement sum of 16-bit big-endian words, a trailing byte padded with zero (RFC 1071). */
export function slowSum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return sum;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = (value >> 8) & 0xff;
  bytes[at + 1] = value & 0xff;
}

/** Sum of the pseudo-header for `length` bytes of L4. */
export function slowPseudo(frame: Uint8Array, l3: number, protocol: number, length: number): number {
  const four = frame[l3]! >> 4 === 4;
  const addresses = four ? frame.subarray(l3 + 12, l3 + 20) : frame.subarray(l3 + 8, l3 + 40);
  return slowSum(
    Uint8Array.of(length >> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255, 0, 0, 0, protocol),
    slowSum(addresses),
  );
}

/** Fills IPv4 header checksum and L4 checksum of a whole, plain frame. */
export function fillChecksums(frame: Uint8Array, l3: number, l4: number, protocol: 6 | 17): void {
  if (frame[l3]! >> 4 === 4) {
    put16(frame, l3 + 10, 0);
    put16(frame, l3 + 10, ~slowSum(frame.subarray(l3, l4)) & 0xffff);
  }
  const field = l4 + (protocol === 6 ? 16 : 6);
  put16(frame, field, 0);
  const sum = ~slowSum(frame.subarray(l4), slowPseudo(frame, l3, protocol, frame.length - l4)) & 0xffff;
  put16(frame, field, protocol === 17 && sum === 0 ? 0xffff : sum);
}

/** The frames that a device with segmentation offload would have put on the wire. */
export function segments(frame: Offloaded): Uint8Array[] {
  const { bytes, l3, l4 } = frame;
  if (frame.gsoType === 0) {
    const whole = bytes.slice();
    const protocol = bytes[l3]! >> 4 === 4 ? bytes[l3 + 9]! : bytes[l3 + 6]!;
    if (frame.needsCsum) fillChecksums(whole, l3, l4, protocol as 6 | 17);
    return [whole];
  }
  const protocol = frame.gsoType === 5 ? 17 : 6;
  const header = l4 + (protocol === 17 ? 8 : (bytes[l4 + 12]! >> 4) * 4);
  const payload = bytes.subarray(header);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += frame.gsoSize)
    parts.push(payload.subarray(at, at + frame.gsoSize));
  return parts.map((part, index) => {
    const segment = new Uint8Array(header + part.length);
    segment.set(bytes.subarray(0, header));
    segment.set(part, header);
    const view = new DataView(segment.buffer);
    if (segment[l3]! >> 4 === 4) {
      view.setUint16(l3 + 2, segment.length - l3);
      view.setUint16(l3 + 4, (view.getUint16(l3 + 4) + index) & 0xffff);
    } else {
      view.setUint16(l3 + 4, segment.length - l3 - 40);
    }
    if (protocol === 17) view.setUint16(l4 + 4, segment.length - l4);
    else {
      view.setUint32(l4 + 4, (view.getUint32(l4 + 4) + index * frame.gsoSize) >>> 0);
      let flags = segment[l4 + 13]!;
      if (index > 0) flags &= ~0x80;
      if (index < parts.length - 1) flags &= ~0x09;
      segment[l4 + 13] = flags;
    }
    fillChecksums(segment, l3, l4, protocol);
    return segment;
  });
}
