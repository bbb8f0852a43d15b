import { removeTemps } from '../../../base/atomic-file.ts';
import { fileSystemAnswers } from '../../../base/files/regular-file.ts';
import { changeLink, findLink, getLink, type Link } from '../../../net/rtnetlink/links.ts';
import type { NetlinkSocket } from '../../../net/rtnetlink/socket.ts';
import { changeSysctl, readSysctl, writeSysctl } from '../../../net/sysctl.ts';
import { macDocs, under } from '../../config/fields.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { failCheck } from '../../link/checks.ts';
import { withNodeAndPod, withPodIfExists } from '../../link/netlink-pair.ts';
import { given, type Result } from '../../result/types.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { Undo } from '../../skel/undo.ts';
import {
  checkAllowed,
  type LinkTuning,
  linkFields,
  readConfig,
  readDataDir,
  type TuningConfig,
  tuningKeys,
} from './config.ts';
import { gcOriginals, readOriginals, removeOriginals, saveOriginals } from './saved-attributes.ts';

const IFF_PROMISC = 0x100;
const IFF_ALLMULTI = 0x200;

function settingsOf({ mac, mtu, promisc, allmulti, txQLen }: LinkTuning) {
  return given({ mac, mtu, promiscuous: promisc, allMulticast: allmulti, txQueueLength: txQLen });
}

/** The present values of what `wanted` names. */
function presentValues({ mac, mtu, flags, txQueueLength }: Link, wanted: LinkTuning): LinkTuning {
  const present = {
    mac,
    mtu,
    promisc: (flags & IFF_PROMISC) !== 0,
    allmulti: (flags & IFF_ALLMULTI) !== 0,
    txQLen: txQueueLength,
  };
  const names = Object.keys(wanted) as (keyof LinkTuning)[];
  return given(Object.fromEntries(names.map(name => [name, present[name]])));
}

async function add(call: Call): Promise<Result> {
  const config = readConfig(call);
  checkAllowed(config.settings);
  const previous = requirePrevResult(call);
  await fileSystemAnswers(config.dataDir);
  await withNodeAndPod(call, ({ pod }) =>
    Undo.guard(call.host.log, async undo => tune(call, config, pod, undo)),
  );
  const { mac, mtu } = config.link;
  const interfaces = previous.interfaces.map(one =>
    one.name === call.ifname && one.sandbox
      ? { ...one, ...(mac ? { mac } : {}), ...(mtu ? { mtu } : {}) }
      : one,
  );
  return { ...previous, interfaces };
}

function tune(call: Call, config: TuningConfig, pod: NetlinkSocket, undo: Undo): void {
  for (const { name, value } of config.settings) {
    const former = changeSysctl(call.netns, name, value);
    if (former !== undefined) undo.push(`set ${name} back`, () => writeSysctl(call.netns, name, former));
  }
  if (Object.keys(config.link).length === 0) return;
  const link = getLink(pod, call.ifname);
  const former = presentValues(link, config.link);
  saveOriginals(config.dataDir, call.name, call.containerId, call.ifname, former);
  undo.push('set the interface back', () => {
    changeLink(pod, link.index, settingsOf(former));
    removeOriginals(config.dataDir, call.containerId, call.ifname);
  });
  changeLink(pod, link.index, settingsOf(config.link));
}

/** Interfaces that outlive the pod (of host-device) get their former values; settings end with the namespace. */
async function del(call: Call): Promise<void> {
  const dataDir = readDataDir(call);
  await fileSystemAnswers(dataDir);
  const former = readOriginals(dataDir, call.containerId, call.ifname);
  if (former) {
    await withPodIfExists(call, pod => {
      const link = findLink(pod, call.ifname);
      if (link) changeLink(pod, link.index, settingsOf(former));
    });
  }
  removeOriginals(dataDir, call.containerId, call.ifname);
}

async function check(call: Call): Promise<void> {
  const config = readConfig(call);
  requirePrevResult(call);
  for (const { name, value } of config.settings) {
    const found = readSysctl(call.netns, name);
    // The kernel separates lists by tabs.
    if (found.split(/\s+/).join(' ') !== value.trim().split(/\s+/).join(' ')) {
      failCheck(`Error: Tuning configured value of ${name} is ${value}, current value is ${found}`);
    }
  }
  await withNodeAndPod(call, async ({ pod }) => {
    // As in the reference plugin an interface that is not to take every frame must not do so.
    const wanted = { promisc: false, ...config.link };
    const present = presentValues(getLink(pod, call.ifname), wanted);
    for (const key of Object.keys(wanted) as (keyof LinkTuning)[]) {
      if (present[key] === wanted[key]) continue;
      failCheck(
        `Error: Tuning configured ${key} of ${call.ifname} is ${wanted[key]}, current value is ${present[key]}`,
      );
    }
  });
}

async function gc(call: Call): Promise<void> {
  const dataDir = readDataDir(call);
  const valid = validAttachments(call);
  await fileSystemAnswers(dataDir);
  const isValid = (id: string, ifname: string) =>
    valid.some(one => one.containerID === id && one.ifname === ifname);
  gcOriginals(dataDir, call.name, isValid);
  removeTemps(dataDir);
}

/** Kernel settings of the pod and attributes of its interface. */
export const tuning: Plugin = {
  name: 'tuning',
  docs: {
    keys: { ...tuningKeys, ...under('args.cni', linkFields), ...macDocs },
    differences: [
      'GC removes the saved values of attachments that are gone.',
      'A name that begins with slashes keeps its dots (net/ipv4/conf/eth0.5/arp_filter), as in sysctl(8). Two names of one setting are refused.',
      'A failed ADD sets everything back.',
    ],
  },

  add,
  del,
  check,
  gc,
  status: async call => checkAllowed(readConfig(call).settings),
};
