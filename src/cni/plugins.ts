import type { Plugin } from './skel/plugin.ts';

/** Every plugin of this program, loaded when it is called: an executable pays for what it runs. */
const LOADERS: Readonly<Record<string, () => Promise<Plugin>>> = {
  dhcp: async () => (await import('./ipam/dhcp/dhcp.ts')).dhcp,
  'host-device': async () => (await import('./main/host-device/host-device.ts')).hostDevice,
  dummy: async () => (await import('./main/dummy.ts')).dummy,
  tap: async () => (await import('./main/tap/tap.ts')).tap,
  sbr: async () => (await import('./meta/sbr.ts')).sbr,
  vrf: async () => (await import('./meta/vrf.ts')).vrf,
  debug: async () => (await import('./meta/debug.ts')).debug,
  sample: async () => (await import('./meta/sample.ts')).sample,
  firewall: async () => (await import('./meta/firewall/firewall.ts')).firewall,
  ripstop: async () => (await import('./main/ripstop/ripstop.ts')).ripstop,
  bandwidth: async () => (await import('./meta/bandwidth.ts')).bandwidth,
  tuning: async () => (await import('./meta/tuning/tuning.ts')).tuning,
  portmap: async () => (await import('./meta/portmap/portmap.ts')).portmap,
  flannel: async () => (await import('./meta/flannel/flannel.ts')).flannel,
  vlan: async () => (await import('./main/sub-interface/vlan.ts')).vlan,
  ipvlan: async () => (await import('./main/sub-interface/ipvlan.ts')).ipvlan,
  macvlan: async () => (await import('./main/sub-interface/macvlan.ts')).macvlan,
  ptp: async () => (await import('./main/ptp.ts')).ptp,
  bridge: async () => (await import('./main/bridge/bridge.ts')).bridge,
  loopback: async () => (await import('./main/loopback.ts')).loopback,
  'host-local': async () => (await import('./ipam/host-local/host-local.ts')).hostLocal,
  static: async () => (await import('./ipam/static.ts')).staticAddresses,
};

export const PLUGIN_NAMES: readonly string[] = Object.keys(LOADERS);

/** The plugin of this name, or undefined for a foreign type. */
export async function loadPlugin(name: string): Promise<Plugin | undefined> {
  return Object.hasOwn(LOADERS, name) ? LOADERS[name]?.() : undefined;
}

/** Loads all of them, for the compile cache. */
export async function loadEveryPlugin(): Promise<void> {
  for (const name of PLUGIN_NAMES) await loadPlugin(name);
}
