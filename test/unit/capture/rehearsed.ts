import { readCapture } from '../../../src/capture/open.ts';
import {
  type ReplayForwarder,
  type ReplayResult,
  type ReplaySkip,
  replay,
} from '../../../src/capture/replay.ts';
import { readReplayConfig } from '../../../src/capture/replay-config.ts';
import { ReplayEnds } from '../../../src/capture/replay-ends.ts';
import { OFFLINE_FRAMES, OFFLINE_NUMBERS, openOffline } from '../../../src/path/offline.ts';
import { chunked } from './files.ts';

export const VXLAN_CONFIG = `
mode: vxlan
address: 192.0.2.1
vni: 1
mac: 02:00:00:00:00:0a
peers:
  - { id: node-b, address: 192.0.2.2, mac: "02:00:00:00:00:02", subnets: [10.244.2.0/24, "fd00:2::/64"] }
`;

export const UDP_CONFIG = `
mode: udp
address: 192.0.2.1
peers:
  - { id: node-b, address: 192.0.2.2, subnets: [10.244.2.0/24, "fd00:2::/64"] }
`;

export function open(text: string) {
  const config = readReplayConfig(text, 'test');
  const ends = new ReplayEnds(config, OFFLINE_NUMBERS, OFFLINE_FRAMES);
  const forwarder: ReplayForwarder = { ends, ...openOffline(config, ends) };
  return { config, ends, forwarder };
}

export async function rehearse(file: Uint8Array, text = VXLAN_CONFIG) {
  const { config, forwarder } = open(text);
  const results: ReplayResult[] = [];
  const skips: ReplaySkip[] = [];
  for await (const result of replay(await readCapture(chunked(file), 'test'), config, forwarder))
    if ('skipped' in result) skips.push(result);
    else results.push(result);
  return { results, skips };
}
