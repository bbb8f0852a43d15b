/** A UDP packet from one address to another, as a tunnel carries it. IPv4 and IPv6 by the addresses. */
export function udpPacket(from: string, to: string, port: number, text: string): Buffer {
  const payload = Buffer.from(text);
  const is6 = from.includes(':');
  const [source, target] = [addressBytes(from), addressBytes(to)];
  const udp = Buffer.alloc(8 + payload.length);
  udp.writeUInt16BE(port, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  payload.copy(udp, 8);
  const pseudo = Buffer.from([0, 17, udp.length >> 8, udp.length & 255]);
  udp.writeUInt16BE(checksum(Buffer.concat([source, target, pseudo, udp])) || 0xffff, 6);
  if (is6) {
    const head = Buffer.from([0x60, 0, 0, 0, udp.length >> 8, udp.length & 255, 17, 64]);
    return Buffer.concat([head, source, target, udp]);
  }
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0x4500, 0);
  head.writeUInt16BE(20 + udp.length, 2);
  head.writeUInt16BE(0x4011, 8);
  head.writeUInt16BE(checksum(Buffer.concat([head, source, target])), 10);
  return Buffer.concat([head, source, target, udp]);
}

/** The packet in a VXLAN frame with VNI 1 (RFC 7348). */
export function inVxlan(packet: Buffer, fromMac: string, toMac: string): Buffer {
  const mac = (text: string) => Buffer.from(text.replaceAll(':', ''), 'hex');
  const type = Buffer.from(packet[0]! >> 4 === 6 ? '86dd' : '0800', 'hex');
  return Buffer.concat([Buffer.from('0800000000000100', 'hex'), mac(toMac), mac(fromMac), type, packet]);
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) + (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const words = (text: string) => (text === '' ? [] : text.split(':'));
  const middle = address.includes('::') ? 8 - words(head).length - words(tail).length : 0;
  const all = [...words(head), ...Array.from({ length: middle }, () => '0'), ...words(tail)];
  return Buffer.from(all.map(word => word.padStart(4, '0')).join(''), 'hex');
}
