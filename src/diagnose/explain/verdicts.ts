import { VERDICTS } from '../../dataplane/descriptor/verdicts.ts';
import type { ExplanationText } from './text.ts';

/** Causes and evidence of the verdicts; their meaning and remedy are next to their numbers. */
const TEXTS: Readonly<Record<string, Pick<ExplanationText, 'cause' | 'evidence'>>> = {
  pending: {
    cause: 'Every descriptor has this value between the read of its batch and its classification.',
    evidence: 'No counter has it. It is in a core dump of a worker at most.',
  },
  forward: {
    cause: 'A peer owns the destination, or the frame came from a peer that owns its source.',
    evidence:
      '`ripstop peers` counts bytes by peer, `ripstop flows` by flow; ripstop_frames_total counts frames.',
  },
  flood: {
    cause: 'The destination MAC is a group address and flooding is on (`Ripstop.flood`, `--flood`).',
    evidence: '`ripstop capture --point egress-inner "multicast or broadcast"` shows the frames.',
  },
  punt: {
    cause:
      'The kernel asked for the MAC of a remote pod or node. The node answers from the leases, so that no such request crosses the underlay.',
    evidence: '`ripstop capture --point egress-inner "arp or icmp6"` shows the requests.',
  },
  'no-peer': {
    cause:
      'A pod sends to an address of the pod network that no lease covers: the node has gone, has not registered yet, or a route is wider than the leases.',
    evidence:
      '`ripstop drops --follow` shows each destination. `ripstop trace` with the destination names the table that has no entry.',
  },
  multicast: {
    cause:
      "Pods and the kernel send multicast on their own: neighbour discovery, mDNS, IGMP. flannel's VXLAN carries none of it either.",
    evidence: '`ripstop capture --point drop` shows which groups are used.',
  },
  'too-big': {
    cause:
      'The packet is larger than the path MTU to the peer less the encapsulation, and must not be fragmented. Path MTU discovery of the sender works with the answer that it gets.',
    evidence:
      '`ripstop trace --size BYTES` shows the path MTU. ripstop_peers_reduced_mtu counts the peers whose path MTU was lowered.',
  },
  'egress-malformed': {
    cause:
      'The length in the IP header or the virtio-net header contradicts the length of the frame, mostly because a program writes raw packets.',
    evidence: '`ripstop capture --point drop -w drop.pcapng` keeps the frames.',
  },
  'send-failed': {
    cause:
      'The system call sendmmsg(2) failed for the datagram: the underlay has no route to the peer, an OUTPUT rule rejects it, or the interface is down.',
    evidence:
      '`ripstop drops --follow` shows the errno. `ip route get PEER` shows the route of the underlay.',
  },
  truncated: {
    cause: 'The datagram, or the datagrams that the kernel merged (UDP_GRO), did not fit into one buffer.',
    evidence: '`ripstop drops` counts them by device.',
  },
  runt: {
    cause:
      'The datagram ends within the VXLAN header or within the header of the inner frame. Port scanners and other programs send such datagrams.',
    evidence: '`tcpdump -ni UNDERLAY udp port 8472` shows the sender.',
  },
  'bad-flags': {
    cause:
      'The VXLAN header does not have the I flag of RFC 7348, or it has bits of an extension that is off on this node.',
    evidence:
      '`ripstop capture --point drop` shows the header; `ip -d link show` on the peer shows its extensions.',
  },
  'bad-ecn': {
    cause:
      'A router or queue on the underlay set the mark CE although the outer header does not allow it, or something rewrites the TOS of the datagrams. Ripstop sends packets that do not support marks with an ECN field of 0.',
    evidence:
      "`tcpdump -vni UNDERLAY 'udp port 8472'` shows `tos 0x3` at the receiver; the same at the sender tells whether the path sets it.",
  },
  'wrong-vni': {
    cause: 'The nodes have different values of `Backend.VNI`, or another VXLAN uses the same port.',
    evidence: '`ripstop doctor` and the row ignored of `ripstop status` name the lease.',
  },
  'unknown-peer': {
    cause:
      'This node has no lease of the sender: it has just joined, NAT rewrites the source between the nodes, it sends from another interface, or it is not a node of the cluster.',
    evidence:
      '`ripstop drops --follow` shows the outer source. `ripstop peers` shows the addresses that are accepted.',
  },
  'spoofed-source': {
    cause:
      'A peer may only send from the subnets of its own lease. Packets with another source come from a pod with a foreign address, a missing masquerade rule, two nodes with one subnet, or an attacker.',
    evidence: '`ripstop drops --follow` shows the inner source and the peer that sent it.',
  },
  'inner-malformed': {
    cause:
      'The inner packet has a wrong version, header length or total length. A defective offload on the way or a program that writes raw packets makes such packets.',
    evidence: '`ripstop capture --point drop` on both nodes shows where the packet changes.',
  },
  oversized: {
    cause: 'The peer has a larger overlay MTU than this node, so that the device cannot take its packet.',
    evidence: '`cat /run/flannel/subnet.env` on both nodes shows FLANNEL_MTU.',
  },
  'bad-checksum': {
    cause:
      'The checksum does not cover the payload that arrived. Typical causes are a checksum offload that is broken on an underlay interface, and a middlebox that rewrites packets.',
    evidence:
      '`ripstop doctor` reports it as checksum-broken. Wireshark marks the packets with its checksum validation on.',
  },
  'not-for-us': {
    cause:
      'The peer believes that the destination pod is on this node, but it used the MAC of another node, or the destination is outside the pod subnets of this node. A node that sends such packets may try to use this node as a relay.',
    evidence:
      '`ip neigh show dev flannel.1` and `bridge fdb show dev flannel.1` on the peer show its entries.',
  },
  'write-failed': {
    cause:
      'The system call write(2) on the TUN or TAP device failed: the device is down, or its queue is full.',
    evidence: '`ripstop drops --follow` shows the errno. `ip -s link show` shows the state of the device.',
  },
  'device-queue-full': {
    cause:
      'The pods sent more frames than the worker took from the device, so that its queue (txQueueLength, 1000 frames by default) was full. The kernel dropped the frame; no capture of Ripstop can show it.',
    evidence:
      '`ip -s link show dev flannel.1` shows the same number as TX dropped. `ripstop status` shows the lag of the worker, `ripstop top` the flows that send most.',
  },
  'offload-proof': {
    cause:
      'Agents of Ripstop send each other trains of datagrams and compare what arrived (--offload-proof-interval).',
    evidence:
      '`ripstop peers` shows a peer whose trains do not arrive. `ripstop capture --verdict offload-proof` shows the messages that arrive.',
  },
  'socket-dropped': {
    cause:
      'The receive buffer of the tunnel was full because datagrams arrived faster than the worker took them, or the UDP checksum of the datagram was wrong. The kernel counts both at the socket; no capture of Ripstop can show the datagram.',
    evidence:
      '`nstat -az UdpRcvbufErrors UdpInCsumErrors` (Udp6 over IPv6) tells full buffers from wrong checksums. `ss -lunm sport = :8472` shows the drops of the socket after `d`.',
  },
};

/** By name of the verdict. */
export const VERDICT_TEXTS: Readonly<Record<string, ExplanationText>> = Object.fromEntries(
  VERDICTS.flatMap(({ name, meaning, remedy }) => {
    const text = TEXTS[name];
    return text
      ? [[name, { meaning: sentence(meaning), ...text, remedy: sentence(remedy || 'nothing is wrong') }]]
      : [];
  }),
);

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
