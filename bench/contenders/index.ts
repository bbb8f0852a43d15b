import { capture } from './capture.ts';
import type { Contender } from './contender.ts';
import { fastd } from './fastd.ts';
import { kernelVxlan } from './kernel-vxlan.ts';
import { naiveNode } from './naive-node.ts';
import { nebula } from './nebula.ts';
import { noOverlay } from './no-overlay.ts';
import { oneCall } from './one-call.ts';
import { openvpn } from './openvpn.ts';
import { openvswitch } from './openvswitch.ts';
import { ripstop } from './ripstop.ts';
import { tinc } from './tinc.ts';
import { vde } from './vde.ts';
import { wireguardGo } from './wireguard-go.ts';

const OFFLOADS = ['csum', 'tso', 'uso', 'udpGso', 'udpGro', 'mergeTcp', 'mergeUdp'] as const;

/** Ripstop with one offload switched off. */
const without = (offload: (typeof OFFLOADS)[number]): Contender =>
  ripstop({
    mode: 'vxlan',
    label: `no ${offload}`,
    configuration: { offloads: { [offload]: false } },
  });

/** Everyone who can be measured, by the id that `--contenders` takes. */
export const CONTENDERS: Readonly<Record<string, Contender>> = {
  none: noOverlay,
  kernel: kernelVxlan(),
  vxlan: ripstop({ mode: 'vxlan', label: 'Ripstop vxlan' }),
  'vxlan-remote': ripstop({ mode: 'vxlan', label: 'vxlan, remote csum', remoteChecksum: true }),
  udp: ripstop({ mode: 'udp', label: 'Ripstop udp' }),
  ...Object.fromEntries(OFFLOADS.map(offload => [`no-${offload}`, without(offload)])),
  capture,
  'one-call': oneCall,
  'naive-node': naiveNode,
  vde,
  openvswitch,
  fastd,
  openvpn,
  tinc,
  nebula,
  'wireguard-go': wireguardGo,
};
