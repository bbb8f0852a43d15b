import { capture } from './capture.ts';
import type { Contender } from './contender.ts';
import { kernelVxlan } from './kernel-vxlan.ts';
import { noOverlay } from './no-overlay.ts';
import { polled } from './polled.ts';
import { AS_AGENTS_DO, ripstop } from './ripstop.ts';
import { fastd } from './tunnels/fastd.ts';
import { naiveNode } from './tunnels/naive-node.ts';
import { nebula } from './tunnels/nebula.ts';
import { oneCall } from './tunnels/one-call.ts';
import { openvpn } from './tunnels/openvpn.ts';
import { openvswitch } from './tunnels/openvswitch.ts';
import { tinc } from './tunnels/tinc.ts';
import { vde } from './tunnels/vde.ts';
import { wireguardGo } from './tunnels/wireguard-go.ts';

const OFFLOADS = ['csum', 'tso', 'uso', 'udpGso', 'udpGro', 'mergeTcp', 'mergeUdp'] as const;

/** The flight recorder of all headers; that of losses is on by default. No trigger writes a file meanwhile. */
const HEADERS = { recorder: 'headers', triggerPeerLoss: 0, triggerWorkerLag: 0, triggerReset: false };

/** Ripstop with one offload switched off. */
const without = (offload: (typeof OFFLOADS)[number]): Contender =>
  ripstop({
    ...AS_AGENTS_DO,
    label: `no ${offload}`,
    configuration: { offloads: { [offload]: false } },
  });

/** Everyone who can be measured, by the id that `--contenders` takes. */
export const CONTENDERS: Readonly<Record<string, Contender>> = {
  none: noOverlay,
  kernel: kernelVxlan(),
  vxlan: ripstop({ ...AS_AGENTS_DO, label: 'Ripstop vxlan' }),
  udp: ripstop({ mode: 'udp', label: 'Ripstop udp' }),
  ...Object.fromEntries(OFFLOADS.map(offload => [`no-${offload}`, without(offload)])),
  'no-remoteChecksum': ripstop({ mode: 'vxlan', label: 'no remoteChecksum' }),
  'no-audit': ripstop({ ...AS_AGENTS_DO, label: 'no audit', audit: false }),
  capture,
  /** One audit follows the other, and the drops are read every second. */
  audit: polled('vxlan, audited', [
    { words: ['drops', '--audit', '--duration', '30'], pauseMs: 0 },
    { words: ['drops'], pauseMs: 1000 },
  ]),
  /** The stages of the workers are timed all the time. */
  timed: polled('vxlan, stages timed', [{ words: ['runtime', '--seconds', '60'], pauseMs: 0 }]),
  'no-recorder': ripstop({ ...AS_AGENTS_DO, label: 'no recorder', configuration: { recorder: 'off' } }),
  recorder: ripstop({ ...AS_AGENTS_DO, label: 'vxlan, headers recorded', configuration: HEADERS }),
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
