import { readFileSync } from 'node:fs';
import type { Namespace } from '../../../bench/lab/namespace.ts';
import { compiled } from '../compile.ts';

/** How a frame is left unfinished: virtio-net header (linux/virtio_net.h). */
export interface Offload {
  /** 1 TCP over IPv4, 4 TCP over IPv6, 5 UDP. */
  gsoType: number;
  gsoSize: number;
  headerBytes: number;
  checksumStart: number;
  checksumOffset: number;
}

/** Sends frames out of a device as if the kernel had. A TUN has no link header: `type` then says what the packets are. */
export function inject(
  ns: Namespace,
  device: string,
  frames: readonly Uint8Array[],
  { offload, type = 0x0800 }: { offload?: Offload; type?: number } = {},
): void {
  const header = Buffer.alloc(10);
  if (offload) {
    header.writeUInt8(1, 0); // VIRTIO_NET_HDR_F_NEEDS_CSUM
    header.writeUInt8(offload.gsoType, 1);
    header.writeUInt16LE(offload.headerBytes, 2);
    header.writeUInt16LE(offload.gsoSize, 4);
    header.writeUInt16LE(offload.checksumStart, 6);
    header.writeUInt16LE(offload.checksumOffset, 8);
  }
  const lines = frames.map(frame => `${header.toString('hex')}${Buffer.from(frame).toString('hex')}\n`);
  ns.must([compiled('inject'), device, `${type}`], lines.join(''));
}

/** The packets of a capture (classic pcap, little-endian) as bytes. */
export function packetsOf(file: string): Uint8Array[] {
  const bytes = readFileSync(file);
  const packets: Uint8Array[] = [];
  for (let at = 24; at + 16 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    packets.push(bytes.subarray(at + 16, at + 16 + length));
    at += 16 + length;
  }
  return packets;
}
