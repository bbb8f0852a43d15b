import type { PodEntry } from '../../agent/pod-registry.ts';
import { RipstopError } from '../../base/errors.ts';
import type { PodVeth } from '../../capture/decode/pod-decoder.ts';
import { noPod } from '../../capture/filter/pod-filter.ts';
import { podText } from '../../capture/live/pods.ts';
import { findLink } from '../../net/rtnetlink/links.ts';
import { NetlinkSocket } from '../../net/rtnetlink/socket.ts';

/**
 * The veths of pods, as their node sees them.
 * @param names `namespace/name`
 * @param pods of the agent's node
 * @throws RipstopError ECONFIG for a pod that is not there, ECAPTURE for one without a veth
 */
export function vethsOf(names: readonly string[], pods: readonly PodEntry[]): PodVeth[] {
  const socket = new NetlinkSocket({ netns: '' });
  try {
    return [...new Set(names)].flatMap(name => vethsOfPod(name, pods, socket));
  } finally {
    socket.close();
  }
}

function vethsOfPod(name: string, pods: readonly PodEntry[], socket: NetlinkSocket): PodVeth[] {
  const entries = pods.filter(pod => pod.until === null && podText(pod) === name);
  const [first] = entries;
  if (!first) throw noPod('ECONFIG', name, pods);
  // An interface with two addresses has two entries.
  const interfaces = new Map(entries.map(entry => [entry.ifname, entry]));
  const veths = [...interfaces.values()].flatMap(({ ifname, hostLinks }) =>
    hostLinks.flatMap(hostLink => {
      const link = findLink(socket, hostLink);
      const shown = interfaces.size > 1 ? `${name} ${ifname}` : name;
      return link?.kind === 'veth' ? [{ name: shown, hostLink, ifname, index: link.index }] : [];
    }),
  );
  if (veths.length > 0) return veths;
  const isElsewhere = first.hostLinks.length > 0;
  throw new RipstopError(
    'ECAPTURE',
    `pod ${name} has no veth ${isElsewhere ? 'here' : 'on this node'}`,
    isElsewhere
      ? `the interfaces are called ${first.hostLinks.join(' and ')}; run the command in the network namespace of the node`
      : `its ${first.ifname} is not one end of a veth (macvlan, ipvlan, host-device); capture inside: nsenter --net=${first.netns} tcpdump -i ${first.ifname}`,
  );
}
