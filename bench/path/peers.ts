import type { Mode } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import { peerInput } from '../../src/dataplane/peer-spec.ts';
import type { TableCapacity } from '../../src/dataplane/tables/capacity.ts';
import type { PeerInput } from '../../src/dataplane/tables/writer.ts';

export const VNI = 1;

/** Node n's pod subnet is the n-th /24 of 10.0.0.0/8. */
export const podAddress = (node: number) => (0x0a000000 + node * 256 + 2) | 0;
export const macOf = (n: number) => ({ hi: 0x0a58, lo: n + 1 });

/** Nodes with a subnet a family each, and `stations` further MACs spread over them (vxlan). */
export function peers(count: number, stations: number, mode: Mode): PeerInput[] {
  const defaults = {
    format: FORMATS[mode],
    vni: VNI,
    port: FORMATS[mode].port,
    pathMtu: 1500,
    innerMtu: 1450,
  };
  return Array.from({ length: count }, (_, n) => {
    const spec = {
      id: `node${n}`,
      address: `172.${16 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`,
      subnets: [`10.${n >> 8}.${n & 255}.0/24`, `fd00:10:${(n + 1).toString(16)}::/64`],
    };
    const own = peerInput(spec, defaults);
    const behind = Array.from({ length: Math.floor(stations / count) }, (_, s) =>
      macOf(count + s * count + n),
    );
    return mode === 'vxlan' ? { ...own, mac: macOf(n), stations: behind } : own;
  });
}

/** Tables that hold just them, for one reader. */
export const capacityFor = (count: number, stations: number): TableCapacity => ({
  peers: count,
  macs: count + stations,
  prefixes: count,
  readers: 1,
});
