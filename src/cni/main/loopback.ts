import { listAddresses } from '../../net/rtnetlink/addresses.ts';
import { changeLink, findLink, getLink } from '../../net/rtnetlink/links.ts';
import { readPrevResult } from '../config/network.ts';
import { failCheck } from '../link/checks.ts';
import { withPodIfExists } from '../link/netlink-pair.ts';
import { emptyResult, type Result } from '../result/types.ts';
import type { Call, Plugin } from '../skel/plugin.ts';

/** The interface is `lo` whatever CNI_IFNAME says. */
const LOOPBACK = 'lo';

async function add(call: Call): Promise<Result> {
  const result = emptyResult();
  await withPodIfExists(call, pod => {
    const { index, mac } = getLink(pod, LOOPBACK);
    changeLink(pod, index, { up: true });
    result.ips = listAddresses(pod, { link: index })
      .filter(one => one.address === '127.0.0.1' || one.address === '::1')
      .sort((a, b) => a.family - b.family)
      .map(one => ({ address: one.prefix, interface: 0 }));
    result.interfaces = [{ name: LOOPBACK, mac: mac ?? '00:00:00:00:00:00', sandbox: call.netns }];
  });
  return readPrevResult(call) ?? result;
}

async function del(call: Call): Promise<void> {
  await withPodIfExists(call, pod => {
    const link = findLink(pod, LOOPBACK);
    if (link) changeLink(pod, link.index, { up: false });
  });
}

async function check(call: Call): Promise<void> {
  await withPodIfExists(call, pod => {
    if (!getLink(pod, LOOPBACK).up) failCheck('loopback interface is down');
  });
}

/** Sets the pod's loopback up. */
export const loopback: Plugin = { name: 'loopback', docs: { keys: {}, differences: [] }, add, del, check };
