import type { Mode } from '../../encap/encap.ts';
import { FORMATS } from '../../encap/formats.ts';
import type { Peer } from '../../src/dataplane/descriptor/peer.ts';
import type { PeerDefaults } from '../../src/dataplane/tables/peer-entries.ts';
import { TablesWriter } from '../../src/dataplane/tables/writer.ts';
import { requirePrefix } from '../../src/ip/prefix.ts';

export const VNI = 1;

/** Node n's pod subnet is the n-th /24 of 10.0.0.0/8. */
export const podAddress = (node: number) => (0x0a000000 + node * 256 + 2) | 0;
export const macOf = (n: number) => ({ hi: 0x0a58, lo: n + 1 });

const defaultsOf = (mode: Mode): PeerDefaults => ({
  mode,
  vni: VNI,
  port: FORMATS[mode].port,
  underlayMtu: 1500,
  mtu: 1450,
});

/** Nodes with a subnet of each family. */
export function peers(count: number, mode: Mode): Peer[] {
  return Array.from({ length: count }, (_, n) => ({
    id: `node${n}`,
    address: `172.${16 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`,
    subnets: [`10.${n >> 8}.${n & 255}.0/24`, `fd00:10:${(n + 1).toString(16)}::/64`].map(requirePrefix),
    mac: mode === 'vxlan' ? macText(n) : undefined,
  }));
}

function macText(n: number): string {
  const digits = (0x0a58_0000_0000 + n + 1).toString(16).padStart(12, '0');
  return digits.replace(/..(?!$)/g, '$&:');
}

/** A writer of tables that have room for just them, for one reader. */
export const writerFor = (count: number, mode: Mode) =>
  new TablesWriter({ peers: count, macs: count, prefixes: count, readers: 1 }, defaultsOf(mode));
