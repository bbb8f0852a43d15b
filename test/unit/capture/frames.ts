import type { Random } from '../../support/random.ts';

/**
 * Packets for the capture tests, built byte by byte with a checksum loop of their own, so that a fault in
 * `encap/wire` cannot hide itself.
 */

export function sum16(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return sum;
}

export function joined(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap(part => [...part]));
}

const word = (n: number) => [(n >>> 8) & 255, n & 255];
const long = (n: number) => [...word(n >>> 16), ...word(n & 0xffff)];

export interface Ends {
  source: readonly number[];
  target: readonly number[];
}

export const V4: Ends = { source: [10, 244, 1, 5], target: [10, 244, 2, 9] };
export const V6: Ends = {
  source: [0xfd, 0, 0, 1, ...new Array(11).fill(0), 5],
  target: [0xfd, 0, 0, 2, ...new Array(11).fill(0), 9],
};

function pseudo(ends: Ends, protocol: number, length: number): Uint8Array {
  return joined(ends.source, ends.target, long(length), long(protocol));
}

function withSum(segment: Uint8Array, at: number, ends: Ends, protocol: number): Uint8Array {
  const sum = ~sum16(segment, sum16(pseudo(ends, protocol, segment.length))) & 0xffff;
  const sealed = segment.slice();
  sealed.set(word(protocol === 17 && sum === 0 ? 0xffff : sum), at);
  return sealed;
}

export function udp(from: number, to: number, payload: Uint8Array, ends: Ends): Uint8Array {
  return withSum(joined(word(from), word(to), word(8 + payload.length), [0, 0], payload), 6, ends, 17);
}

export interface TcpFields {
  from: number;
  to: number;
  sequence: number;
  flags: number;
}

export function tcp(fields: TcpFields, payload: Uint8Array, ends: Ends): Uint8Array {
  const header = joined(
    word(fields.from),
    word(fields.to),
    long(fields.sequence),
    long(77),
    [0x80, fields.flags],
    word(500),
    [0, 0, 0, 0],
    [1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0],
  );
  header[12] = 0x80;
  return withSum(joined(header, payload), 16, ends, 6);
}

export function ip(ends: Ends, protocol: number, payload: Uint8Array, id = 1): Uint8Array {
  if (ends.source.length === 16)
    return joined([0x60, 0, 0, 0], word(payload.length), [protocol, 64], ends.source, ends.target, payload);
  const header = joined(
    [0x45, 0],
    word(20 + payload.length),
    word(id),
    [0x40, 0, 64, protocol, 0, 0],
    ends.source,
    ends.target,
  );
  header.set(word(~sum16(header) & 0xffff), 10);
  return joined(header, payload);
}

export function ethernet(packet: Uint8Array, tags: readonly number[] = []): Uint8Array {
  const type = packet[0]! >>> 4 === 6 ? 0x86dd : 0x0800;
  return joined(
    [2, 0, 0, 0, 0, 2],
    [2, 0, 0, 0, 0, 1],
    tags.flatMap(tag => [0x81, 0, ...word(tag)]),
    word(type),
    packet,
  );
}

/** A whole VXLAN datagram on an Ethernet underlay. */
export function vxlan(
  frame: Uint8Array,
  vni: number,
  outer: Ends = { source: [192, 0, 2, 1], target: [192, 0, 2, 2] },
) {
  const body = joined([8, 0, 0, 0], [(vni >>> 16) & 255, (vni >>> 8) & 255, vni & 255, 0], frame);
  return ethernet(ip(outer, 17, udp(50000, 8472, body, outer)));
}

/** A random well-formed packet: Ethernet when `tagged` is given, else bare IP. */
export function randomPacket(random: Random, link: 'ethernet' | 'raw'): Uint8Array {
  const ends = random.pick([
    V4,
    V6,
    {
      source: [10, 244, random.between(0, 3), random.between(0, 7)],
      target: [10, 244, random.between(0, 3), random.between(0, 7)],
    },
  ]);
  const payload = random.bytes(random.between(0, 199));
  const port = () => random.pick([53, 80, 443, 8080, 50000 + random.between(0, 99)]);
  const kind = random.between(0, 2);
  const body =
    kind === 0
      ? ip(ends, 17, udp(port(), port(), payload, ends), random.between(0, 65535))
      : kind === 1
        ? ip(
            ends,
            6,
            tcp(
              {
                from: port(),
                to: port(),
                sequence: random.between(0, 2 ** 31),
                flags: random.pick([2, 0x10, 0x18, 0x11]),
              },
              payload,
              ends,
            ),
          )
        : ip(
            ends,
            ends.source.length === 4 ? 1 : 58,
            joined([ends.source.length === 4 ? 8 : 128, 0, 0, 0, 0, 1, 0, 1], payload),
          );
  if (link === 'raw') return body;
  return ethernet(body, random.between(0, 3) === 0 ? [random.between(0, 4095)] : []);
}
