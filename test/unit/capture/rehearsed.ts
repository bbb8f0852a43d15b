import { readCapture } from '../../../src/capture/open.ts';
import {
  type ReplayForwarder,
  type ReplayResult,
  type ReplaySkip,
  replay,
} from '../../../src/capture/replay.ts';
import type { ReplayConfig } from '../../../src/capture/replay-config.ts';
import { ReplayEnds } from '../../../src/capture/replay-ends.ts';
import { OFFLINE_FRAMES, OFFLINE_NUMBERS, openOffline } from '../../../src/path/offline.ts';
import { chunked } from './files.ts';

const PEER = {
  id: 'node-b',
  address: '192.0.2.2',
  mac: '02:00:00:00:00:02',
  subnets: ['10.244.2.0/24', 'fd00:2::/64'],
};
export const VXLAN_CONFIG: ReplayConfig = {
  mode: 'vxlan',
  address: '192.0.2.1',
  port: 8472,
  vni: 1,
  mac: '02:00:00:00:00:0a',
  mtu: 1450,
  underlayMtu: 1500,
  flood: false,
  strictSource: true,
  peers: [PEER],
};
export const UDP_CONFIG: ReplayConfig = {
  ...VXLAN_CONFIG,
  mode: 'udp',
  port: 8285,
  mtu: 1472,
  mac: undefined,
};
/** The same, but the peer owns another IPv4 subnet. */
export const OTHER_SUBNET: ReplayConfig = {
  ...VXLAN_CONFIG,
  peers: [{ ...PEER, subnets: ['10.244.3.0/24', 'fd00:2::/64'] }],
};

export function open(config: ReplayConfig) {
  const ends = new ReplayEnds(config, OFFLINE_NUMBERS, OFFLINE_FRAMES);
  const forwarder: ReplayForwarder = { ends, ...openOffline(config, ends) };
  return { ends, forwarder };
}

export async function rehearse(file: Uint8Array, config = VXLAN_CONFIG) {
  const { forwarder } = open(config);
  const results: ReplayResult[] = [];
  const skips: ReplaySkip[] = [];
  for await (const result of replay(await readCapture(chunked(file), 'test'), config, forwarder))
    if ('skipped' in result) skips.push(result);
    else results.push(result);
  return { results, skips };
}
