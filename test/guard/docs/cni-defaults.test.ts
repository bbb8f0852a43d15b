import t from 'tap';
import type { Field } from '../../../src/base/schema.ts';
import { loadPlugin, PLUGIN_NAMES } from '../../../src/cni/plugins.ts';

/*
 * The defaults of the reference plugins, v1.9.1: a key that is not here is false, 0, empty or absent by default, there and here.
 * `[reference, ours]` where they differ on purpose (docs/reference/cni.md).
 */

type Value = string | number | boolean;
const DEFAULTS: Readonly<Record<string, Readonly<Record<string, Value | readonly [Value, Value]>>>> = {
  bridge: { bridge: 'cni0', ipMasqBackend: ['iptables', 'nftables'] },
  dhcp: { 'ipam.daemonSocketPath': '/run/cni/dhcp.sock' },
  firewall: {
    iptablesAdminChainName: 'CNI-ADMIN',
    firewalldZone: 'trusted',
    dataDir: ['', '/run/ripstop/cni-firewalld'],
  },
  'host-local': { 'ipam.dataDir': '/var/lib/cni/networks' },
  ipvlan: { mode: 'l2' },
  macvlan: { mode: 'bridge' },
  portmap: { snat: true, markMasqBit: 13, 'runtimeConfig.portMappings[].protocol': ['', 'tcp'] },
  ptp: { ipMasqBackend: ['iptables', 'nftables'] },
  tuning: { dataDir: '/run/cni/tuning' },
};

/** Plugins that the reference does not have. */
const OWN = ['debug', 'flannel', 'ripstop'];

/** The default of a field, which may are in the sentence on it: "..., by default X" or "...; default: X". */
function defaultOf({ fallback, doc }: Field): Value | undefined {
  if (fallback !== undefined && fallback !== '') return fallback as Value;
  const told = /(?:by default|default:) ([\w./-]+)$/.exec(doc)?.[1];
  return told !== undefined && /^\d+$/.test(told) ? Number(told) : told;
}

const isNothing = (value: unknown) =>
  value === undefined || value === false || value === 0 || value === '' || value === null;

for (const name of PLUGIN_NAMES.filter(one => !OWN.includes(one)))
  t.test(`${name}: each key has the default of the reference`, async t => {
    const keys = (await loadPlugin(name))?.docs?.keys ?? {};
    const expected = DEFAULTS[name] ?? {};
    t.strictSame(
      Object.keys(expected).filter(key => !Object.hasOwn(keys, key)),
      [],
      'the table names keys that exist',
    );
    const ours = Object.entries(keys).map(([key, field]) => [key, defaultOf(field)] as const);
    const set = Object.fromEntries(ours.filter(([, value]) => !isNothing(value)));
    const wanted = Object.entries(expected).map(([key, value]) => [
      key,
      Array.isArray(value) ? value[1] : value,
    ]);
    t.strictSame(set, Object.fromEntries(wanted));
  });
