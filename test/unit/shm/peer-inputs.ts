import type { PeerInput } from '../../../src/shm/tables-writer.ts';

/** 16 bytes of an IPv4 address in mapped form. */
export function mapped(a: number, b: number, c: number, d: number): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d);
}

/** Node number `n`, 0..65535, as a flannel cluster would have it: own /24 and /64, VTEP MAC, VNI 1. */
export function node(n: number, change: Partial<PeerInput> = {}): PeerInput {
  return {
    id: `node-${n}`,
    family: 4,
    address: mapped(192, 168, n >> 8, n & 255),
    port: 8472,
    pathMtu: 1500,
    innerMtu: 1450,
    header: Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0),
    mac: { hi: 0x0200, lo: n },
    subnets: [
      { family: 4, words: [(10 << 24) | (n << 8)], length: 24 },
      { family: 6, words: [0x20010db8, n, 0, 0], length: 64 },
    ],
    ...change,
  };
}
