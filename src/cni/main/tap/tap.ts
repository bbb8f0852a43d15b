import { flag, integer, text, withDefault } from '../../../base/schema.ts';
import { runCommand } from '../../../net/command.ts';
import { changeLink, deleteLink, findLink, getLink } from '../../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { createTap } from '../../../net/tap.ts';
import { dnsDocs, ipamDocs, macDocs, macField, mtuField } from '../../config/fields.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { requestedMac } from '../../config/runtime.ts';
import { ipamType } from '../../delegate/addresses.ts';
import { failCheck } from '../../link/checks.ts';
import { refuseExisting } from '../../link/veth.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { OUTSIDE_GATEWAY, podLinkPlugin } from '../pod-link.ts';
import { withExecLabel } from './selinux.ts';

/** The largest id that is not "none" (uid_t). */
const ID_MAX = 0xfffffffe;

const tapFields = {
  multiQueue: withDefault(flag('several queues can be attached'), false),
  mtu: mtuField,
  mac: macField,
  owner: integer(0, ID_MAX, 'user id that may attach to the device; default: not restricted to a user'),
  group: integer(0, ID_MAX, 'group id that may attach to the device; default: not restricted to a group'),
  selinuxContext: text('an SELinux context', 'context that the device is made in'),
  bridge: text('an interface name', "bridge in the pod's namespace that the device becomes a port of"),
};

function readConfig(call: Call) {
  const keys = readIgnoringUnknown(tapFields, call.config, '');
  return { ...keys, mac: requestedMac(call) ?? (keys.mac || undefined), ipam: ipamType(call.config) };
}

type TapConfig = ReturnType<typeof readConfig>;

async function makeTap(call: Call, config: TapConfig): Promise<void> {
  const { multiQueue, owner, group, selinuxContext } = config;
  if (!selinuxContext) {
    createTap(call.netns, call.ifname, { multiQueue, owner, group });
    return;
  }
  const options = [
    ...(multiQueue ? ['multi_queue'] : []),
    ...(owner === undefined ? [] : ['user', String(owner)]),
    ...(group === undefined ? [] : ['group', String(group)]),
  ];
  const args = ['tuntap', 'add', 'mode', 'tap', 'name', call.ifname, ...options];
  await withExecLabel(selinuxContext, () => runCommand('ip', args, { netns: call.netns }));
}

function bridgeIn(pod: NetlinkSocket, name: string): number {
  const found = findLink(pod, name);
  if (found) return found.index;
  throw new CniError(
    CODE.INTERNAL,
    `failed to get bridge ${name}: no such interface`,
    "bridge: name one of the pod's namespace",
  );
}

/** A TAP device in the pod, for a program that is the other end of it, for example a hypervisor. */
export const tap: Plugin = podLinkPlugin({
  name: 'tap',
  docs: {
    keys: { ...tapFields, ...macDocs, ...ipamDocs, ...dnsDocs },
    differences: [
      OUTSIDE_GATEWAY,
      'args.cni.mac is read as well, and a MAC address also counts when owner and group are both set.',
      'The programs ip and nsenter are needed for selinuxContext only.',
    ],
  },
  read: readConfig,
  async create(call, { pod }, config, undo) {
    refuseExisting(pod, call.ifname);
    const master = config.bridge ? bridgeIn(pod, config.bridge) : undefined;
    await makeTap(call, config);
    undo.push(`delete ${call.ifname}`, () => deleteLink(pod, call.ifname));
    const { index } = getLink(pod, call.ifname);
    changeLink(pod, index, {
      ...(config.mtu ? { mtu: config.mtu } : {}),
      ...(config.mac ? { mac: config.mac } : {}),
      ...(master === undefined ? {} : { master }),
    });
    return getLink(pod, index);
  },
  verify({ pod }, { name }) {
    const link = findLink(pod, name);
    if (!link) failCheck(`Interface ${name} is missing in the container ${pod.netns}`);
    if (link.details.tun?.mode !== 'tap') failCheck(`Interface ${name} in the container is not a TAP device`);
    return link;
  },
});
