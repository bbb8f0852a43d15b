import { canonicalNetwork } from '../../ip/prefix.ts';
import { ignoreErrors } from '../../net/error.ts';
import { addAddress } from '../../net/rtnetlink/addresses.ts';
import { changeLink, getLink, type Link } from '../../net/rtnetlink/links.ts';
import { addRoute, listRoutes, SCOPE_HOST, SCOPE_LINK } from '../../net/rtnetlink/routes.ts';
import { backendField, dnsDocs, ipamDocs, ipMasqField, mtuField } from '../config/fields.ts';
import { readIgnoringUnknown } from '../config/ignore-unknown.ts';
import { preferredDns, readDns, requirePrevResult } from '../config/network.ts';
import { forwardToIpam, obtainAddresses, requireIpamType } from '../delegate/addresses.ts';
import { checkAddresses, checkLink, checkRoutes, failCheck, podInterface } from '../link/checks.ts';
import { enableIpv6, installRoutes, interfaceEntry, writeSysctlIfExists } from '../link/interface.ts';
import { type NetlinkPair, withNodeAndPod } from '../link/netlink-pair.ts';
import { callTag } from '../link/tag.ts';
import { createVeth } from '../link/veth.ts';
import { type AssignedAddress, hostPart, isV6, type Result } from '../result/types.ts';
import type { BackendName } from '../rules/backend.ts';
import { addMasquerade, checkMasquerade, masquerading } from '../rules/masquerade.ts';
import { refuse } from '../skel/errors.ts';
import type { Call, Plugin } from '../skel/plugin.ts';
import { Undo } from '../skel/undo.ts';
import { collectVeths, removeVeth } from './remove-veth.ts';

const ptpFields = { ipMasq: ipMasqField, ipMasqBackend: backendField, mtu: mtuField };

/** Index of the pod's interface in the result: node's end, pod's end. */
const POD = 1;

/** An address with the gateway that this plugin cannot do without. */
type Routed = AssignedAddress & { gateway: string };

function readConfig(call: Call) {
  const { ipMasqBackend, ...keys } = readIgnoringUnknown(ptpFields, call.config, '');
  const backend: BackendName = ipMasqBackend || 'nftables';
  return { ...keys, backend, ipam: requireIpamType(call.config) };
}

const whole = (address: string) => `${hostPart(address)}/${isV6(address) ? 128 : 32}`;

/** A pair of interfaces with a routed pod behind it. Undone whole when a step fails. */
function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  const dns = readDns(call.config);
  return withNodeAndPod(call, netlink =>
    Undo.guard(call.host.log, async undo => {
      const given = await obtainAddresses(call, config.ipam, undo);
      const ips = given.ips.map((one): Routed => {
        if (!one.gateway) refuse('ipam', `gave ${one.address} without a gateway, which ptp routes by`);
        return { ...one, gateway: one.gateway, interface: POD };
      });
      const pair = createVeth(netlink, { ifname: call.ifname, mtu: config.mtu, tag: callTag(call) }, undo);
      configureNode(call, netlink, pair.node, ips);
      configurePod(call, netlink, pair.pod, { ...given, ips });
      if (config.ipMasq) await addMasquerade(call, config.backend, ips, undo);
      const inside = getLink(netlink.pod, pair.pod.index);
      return {
        ...given,
        ips,
        interfaces: [interfaceEntry(pair.node), interfaceEntry(inside, call.netns)],
        dns: preferredDns(dns, given.dns),
      };
    }),
  );
}

/** Two addresses of one subnet share gateway and subnet route. */
const addOnce = (action: () => void) => ignoreErrors(['EEXIST'], action);

/** The gateways alone on the node's end, a route to each address, and forwarding. */
function configureNode(call: Call, { node }: NetlinkPair, link: Link, ips: readonly Routed[]): void {
  for (const { address, gateway } of ips) {
    const v6 = isV6(address);
    addOnce(() => addAddress(node, { link: link.index, prefix: whole(gateway), noDuplicateDetection: v6 }));
    addRoute(node, { destination: whole(address), link: link.index, ...(v6 ? {} : { scope: SCOPE_HOST }) });
    writeSysctlIfExists(call.host.netns, v6 ? 'net/ipv6/conf/all/forwarding' : 'net/ipv4/ip_forward', '1');
  }
}

/**
 * Addresses without their connected routes: the gateway is on the link, the rest of the subnet behind it. No other host
 * is on the link, so duplicate address detection is not needed.
 */
function configurePod(
  call: Call,
  { pod }: NetlinkPair,
  link: Link,
  result: Result & { ips: Routed[] },
): void {
  if (result.ips.some(one => isV6(one.address))) enableIpv6(call.netns, call.ifname);
  changeLink(pod, link.index, { up: true });
  for (const { address, gateway } of result.ips) {
    const v6 = isV6(address);
    const source = hostPart(address);
    addAddress(pod, { link: link.index, prefix: address, noPrefixRoute: true, noDuplicateDetection: v6 });
    const scope = v6 ? {} : { scope: SCOPE_LINK };
    addOnce(() => addRoute(pod, { destination: whole(gateway), link: link.index, source, ...scope }));
    addOnce(() =>
      addRoute(pod, { destination: canonicalNetwork(address), link: link.index, gateway, source }),
    );
  }
  installRoutes(pod, link.index, result);
}

async function del(call: Call): Promise<void> {
  await removeVeth(call, [masquerading]);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  await forwardToIpam(call, 'CHECK');
  const previous = requirePrevResult(call);
  const { entry: told, own } = podInterface(call, previous);
  await withNodeAndPod(call, async ({ node, pod }) => {
    const link = checkLink(pod, told, 'veth');
    if (!link.up) failCheck(`Interface ${told.name} is down`);
    const end = getLink(node, link.parent ?? 0);
    checkAddresses(pod, link, own);
    checkRoutes(pod, own);
    const there = listRoutes(node, { link: end.index });
    for (const { address } of own.ips) {
      if (!there.some(route => route.destination === whole(address)))
        failCheck(`route to ${whole(address)} is missing on the node`);
    }
    if (config.ipMasq) await checkMasquerade(call, own.ips);
  });
}

async function gc(call: Call): Promise<void> {
  await collectVeths(call, [masquerading]);
}

async function status(call: Call): Promise<void> {
  readConfig(call);
  await forwardToIpam(call, 'STATUS');
}

/** A pod behind a pair of interfaces, routed by the node. */
export const ptp: Plugin = {
  name: 'ptp',
  docs: {
    keys: { ...ptpFields, ...ipamDocs, ...dnsDocs },
    differences: [
      'Masquerading rules are in nftables unless ipMasqBackend says otherwise.',
      'IPv6 addresses need no duplicate address detection, because no other host is on the link.',
    ],
  },
  add,
  del,
  check,
  gc,
  status,
};
