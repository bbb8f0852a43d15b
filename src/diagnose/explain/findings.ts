import type { Finding } from '../doctor/finding.ts';
import type { ExplanationText } from './text.ts';

const DOCTOR = '`ripstop doctor` names the place and the command that fixes it.';

/** By kind of finding of `ripstop doctor`. */
export const FINDINGS: Readonly<Record<Finding['kind'], ExplanationText>> = {
  'not-ready': {
    meaning: 'The node does not carry packets of pods as it is configured to.',
    cause:
      'One of the conditions of readiness does not hold: no lease, no network configuration, no device, or a data plane that has stopped.',
    evidence: '`ripstop status` shows the reason. `/readyz` has it as well. The metric ripstop_ready is 0.',
    remedy: 'Remove the cause that the reason names. The agent tries again without a restart.',
  },
  'store-unreachable': {
    meaning: 'The agent cannot read the lease store at present.',
    cause:
      'The etcd server or the API server is down, or a firewall, a certificate or a token prevents access.',
    evidence: '`ripstop status` shows since when. The metric ripstop_store_up is 0.',
    remedy:
      'Make the store reachable. Traffic continues with the last known leases; new nodes are not seen until then.',
  },
  'store-write-failing': {
    meaning: 'The lease store answers reads and does not take a write of this node.',
    cause:
      'The store is etcd with authentication that this node has no credentials for, the role lost its rights, the store has no space left, or a shared directory is mounted read-only.',
    evidence:
      '`ripstop status` shows the write and the reason. The metric ripstop_store_failing_writes has the write, and ripstop_store_up is 0.',
    remedy:
      'Remove the cause that the reason names before the lease of the node ends. The agent tries again without a restart.',
  },
  'store-rights': {
    meaning: 'The node works without something that the store does not permit it.',
    cause: 'The etcd role was made for flanneld, which needs the keys config and subnets/ only.',
    evidence: '`ripstop status` shows it in the row lacking. The log has it once per connection.',
    remedy: 'Run the etcdctl command of the finding, or leave it: traffic does not depend on it.',
  },
  'configuration-waits': {
    meaning:
      'The network configuration has another tunnel, and the node keeps the present one because its neighbours do.',
    cause:
      'A running flanneld keeps its configuration until it is restarted. A node with another type, VNI, port or MTU exchanges no packets with it.',
    evidence:
      '`ripstop status` shows the change in the row waiting, and `ripstop leases` who has the new backend.',
    remedy:
      'Restart flanneld on the other nodes. To change this node now, restart its agent or send it SIGHUP.',
  },
  'part-failing': {
    meaning: 'One part of the agent fails repeatedly, and the node carries packets without it.',
    cause: 'The finding names the reason, for example a file that cannot be written.',
    evidence: DOCTOR,
    remedy: 'Remove the cause that the reason names. The agent tries again.',
  },
  'store-emptied': {
    meaning: 'The store lost the leases of all other nodes at once, and the agent keeps them for now.',
    cause: 'The data of etcd were deleted or restored from an old backup, or the prefix changed.',
    evidence: '`ripstop status` shows the kept leases. The metric ripstop_kept_leases counts them.',
    remedy: 'Restore the data of the store, or restart the agents of the other nodes, which register again.',
  },
  'config-unusable': {
    meaning: 'The store has no network configuration that this node can follow.',
    cause:
      'The key or file was deleted, or has a wrong value. Running agents keep the configuration that they have.',
    evidence: 'The finding and the row failing of `ripstop status` have the message of the reader.',
    remedy: 'Write the configuration again. `ripstop plan` with the flags of the agent checks it.',
  },
  'kernel-drift': {
    meaning: 'Routes, addresses or neighbours in the kernel differ from the desired state of the agent.',
    cause: 'Another program changed them since the last comparison.',
    evidence:
      '`ripstop plan` lists the differences. The metric ripstop_repairs_total counts the corrections.',
    remedy: 'The agent corrects them. If they come back, find the program that changes them, and stop it.',
  },
  'setting-refused': {
    meaning: 'The kernel refused a sysctl that the agent set.',
    cause: '/proc/sys is mounted read-only in the container, or the setting does not exist in this kernel.',
    evidence: DOCTOR,
    remedy:
      "Mount the host's /proc/sys/net as docs/deploy/kustomize/base/kube-ripstop.yml does, or set the value on the host.",
  },
  'underlay-blocked': {
    meaning: 'A peer answers neither over the underlay nor through the tunnel.',
    cause: 'The node is down, or a route or a firewall between the nodes blocks all traffic.',
    evidence: '`ping PEER` from the node fails. `ripstop peers --json` shows the loss of both paths.',
    remedy: 'Check the node, the routes and the firewalls between the nodes.',
  },
  'icmp-filtered': {
    meaning: 'A peer answers no ICMP echo, and the overlay receives packets of its pods.',
    cause:
      'A firewall of that node or a security group drops ICMP. If its pods get no answers, the path from this node to it is blocked.',
    evidence: '`ping PEER` from the node fails, and RECEIVED of `ripstop peers` grows.',
    remedy: 'Allow ICMP echo between the nodes, so that their paths can be checked.',
  },
  'peer-absent': {
    meaning: 'The store has the lease of a node, and nothing was received from it since this agent started.',
    cause:
      'The node left or got another address, and its lease has not ended: leases of flannel last 24 h. A reservation looks the same until its node starts.',
    evidence: '`ripstop leases` shows the lease and when it ends. `ping ADDRESS` fails.',
    remedy: 'Delete the lease if the node does not come back. Check the path to it if it should be there.',
  },
  'port-filtered': {
    meaning: 'A peer answers over the underlay and not through the tunnel.',
    cause: 'A firewall or a security group drops the UDP port of the overlay: 8472 for vxlan, 8285 for udp.',
    evidence: '`tcpdump -ni UNDERLAY udp port 8472` on the peer shows no datagram of this node.',
    remedy: 'Open the UDP port between the nodes in both directions.',
  },
  'reverse-path-filter': {
    meaning:
      'The kernel of this node drops packets of a peer, because answers to them would leave by another interface.',
    cause:
      'The setting rp_filter of the interface or of `all` is 1 (or 2 without any route back), and a rule or route of another program leads elsewhere.',
    evidence: '`nstat -az TcpExtIPReversePathFilter` grows. `ip route get ADDRESS` shows the way back.',
    remedy: 'Correct the way back, or set net.ipv4.conf.INTERFACE.rp_filter to 2.',
  },
  'route-diverted': {
    meaning: 'The route to the pods of a peer does not lead into the tunnel.',
    cause:
      'A policy rule (`ip rule`) or a more specific route of another program precedes the route of the agent.',
    evidence: '`ip route get ADDRESS` shows the interface, `ip rule show` the rules.',
    remedy: 'Remove the rule or the route, or give it a lower priority.',
  },
  'queue-full': {
    meaning: 'A queue of this node is full, so that the probes of a peer, or their answers, are dropped.',
    cause: 'The workers do not run, or packets arrive faster than they take them.',
    evidence:
      '`ripstop drops` counts device-queue-full and socket-dropped. `nstat -az UdpRcvbufErrors` grows.',
    remedy: 'Give the agent more processor time: docs/guides/operate/sizing.md.',
  },
  'mtu-too-small': {
    meaning: 'The path to a peer carries smaller packets than the interface of the underlay suggests.',
    cause: 'A link, a VPN or a cloud network on the way has a smaller MTU.',
    evidence: '`ping -M do -s SIZE PEER` fails above the path MTU that the finding names.',
    remedy: 'Raise the MTU of the path, or lower that of the underlay interface on every node.',
  },
  'mtu-too-large': {
    meaning: '`Backend.MTU` is larger than the MTU of the underlay interface.',
    cause: 'The configuration was written for other networks, for example jumbo frames.',
    evidence: '`ip link show UNDERLAY` and the network configuration differ. `ripstop drops` counts too-big.',
    remedy:
      'Leave `Backend.MTU` out, or set it to the smallest MTU between the nodes, and create the pods again.',
  },
  'vni-differs': {
    meaning: 'The lease of a peer has another VXLAN network identifier than this node.',
    cause: 'That node read another network configuration, or was not restarted after a change.',
    evidence: '`ripstop doctor` and the row ignored of `ripstop status` name the lease.',
    remedy: 'Make `Backend.VNI` equal for all nodes, and restart the agent of the node that differs.',
  },
  'stale-identity': {
    meaning: 'A peer sends with another address or MAC than its lease says.',
    cause: 'The device of that node was created again by another program, or two nodes use one identity.',
    evidence: '`ripstop peers --json` on both nodes. `ripstop drops` shows what the ingress refuses.',
    remedy: 'Restart the agent of that node, so that it writes its lease again.',
  },
  'lease-rejected': {
    meaning: 'The lease of a peer is valid as text and cannot be used, so that no packet goes to that node.',
    cause:
      'It overlaps another lease or the underlay, lies outside the network, or has no address of the family.',
    evidence:
      '`ripstop status` and the metric ripstop_rejected_leases count them; `ripstop doctor` names each.',
    remedy: 'Follow the command of the finding, which depends on the reason.',
  },
  'lease-unreadable': {
    meaning: 'An entry of the store cannot be read as a lease.',
    cause: 'Another program wrote it, or an agent of another version.',
    evidence: 'The finding names the key and what is wrong in it.',
    remedy: 'Delete the entry, or restart the agent that wrote it.',
  },
  'backend-differs': {
    meaning: "All other nodes use another backend than this node's configuration.",
    cause: 'The network configuration was changed for this node alone, or has no `Backend` (then it is udp).',
    evidence: '`ripstop leases` shows the backend of each lease.',
    remedy: 'Set `Backend.Type` to what the cluster uses.',
  },
  'stale-bridge': {
    meaning: "A bridge of pods has an address outside this node's subnet.",
    cause:
      'The node got another subnet while pods were running. CNI plugins do not change an existing bridge.',
    evidence: '`ip addr show cni0` and /run/flannel/subnet.env differ.',
    remedy: 'Delete the pods with the former addresses, then the bridge. The next pod makes it again.',
  },
  'firewall-drops': {
    meaning: 'A rule of another program drops packets of pods, or datagrams of the tunnel, on this node.',
    cause:
      'A firewall (firewalld, nftables.conf, the trailing REJECT of an image, the other variant of iptables) does not know the pod network. An accept of one table does not keep another table from dropping.',
    evidence: 'The finding names table, chain and rule. `ripstop trace` evaluates the rules for one packet.',
    remedy: 'Run the command of the finding, and write the same into the configuration of that firewall.',
  },
  'forwarding-off': {
    meaning: 'The kernel forwards no IPv4 packet that arrives by an interface of pods.',
    cause:
      'The setting net.ipv4.conf.INTERFACE.forwarding is 0, taken from net.ipv4.conf.default, and the agent is not allowed to write it.',
    evidence: '`sysctl net.ipv4.conf.INTERFACE.forwarding` prints 0.',
    remedy: 'Set it to 1 on the host, or let the agent write it (docs/guides/operate/privileges.md).',
  },
  'masquerade-wrong': {
    meaning:
      'The rules that masquerade traffic leaving the pod network are missing, or flannel left its own.',
    cause: 'The agent runs without --ip-masq, or flannel was stopped without removing its rules.',
    evidence: '`nft list ruleset` and `iptables-save -t nat` show the rules.',
    remedy:
      'Start the agent with --ip-masq. Remove the rules of flannel with `ripstop cleanup --flannel-rules`.',
  },
  'bridge-netfilter-missing': {
    meaning: 'Frames between pods of one node pass the bridge without iptables.',
    cause: 'The module br_netfilter is not loaded, or net.bridge.bridge-nf-call-iptables is 0.',
    evidence: '`sysctl net.bridge.bridge-nf-call-iptables` fails or prints 0.',
    remedy: 'Load the module and set the sysctl to 1 if kube-proxy uses iptables.',
  },
  'checksum-broken': {
    meaning: 'Frames arrive with a wrong inner checksum, or datagrams with a wrong outer one.',
    cause: 'A checksum offload of an interface on the peer or on the way computes them wrongly.',
    evidence:
      '`ripstop drops` counts bad-checksum (inner), `nstat -az UdpInCsumErrors` the outer ones. `ethtool -k UNDERLAY` shows the offloads.',
    remedy: 'Switch the offload off on the peer: `ethtool -K UNDERLAY tx off`.',
  },
  'segmentation-broken': {
    meaning:
      'Datagrams that leave in one message (UDP_SEGMENT) do not all arrive at a peer, so that each leaves alone.',
    cause:
      'A kernel or a driver on the path cuts such a message wrongly, and the far kernel drops the datagrams because of their checksums. Linux 7.0 to 7.1.4 does so with several drivers, also in a hypervisor.',
    evidence:
      '`ripstop peers` shows which train is broken and since when. The metric ripstop_peers_unsegmented counts the peers. `nstat -az UdpInCsumErrors` on the peer increases with each trial.',
    remedy:
      'Update the kernel of the node or of its hypervisor, or switch `tx-udp-segmentation` of the underlay interface off. The agent tries again after --offload-proof-interval.',
  },
  'pod-mtu-differs': {
    meaning: 'Pods have a larger MTU than the overlay carries.',
    cause: 'They were made before the MTU of the overlay changed.',
    evidence: '`ip link show cni0` and /run/flannel/subnet.env differ.',
    remedy: 'Set the MTU of the bridge, and create the pods again.',
  },
  'cpu-starved': {
    meaning: 'The threads that carry packets do not get the processor when packets arrive.',
    cause:
      'A CPU limit (CFS quota) of the container or pod stops them for the rest of a period, or other processes keep the processors busy.',
    evidence:
      '`cpu.stat` of the cgroup counts nr_throttled. The row workers of `ripstop status` and the metric ripstop_worker_lag_seconds show the response time.',
    remedy:
      'Remove the CPU limit, or raise it to what docs/guides/operate/sizing.md names. Give the agent a CPU request, so that it has its share on a busy node.',
  },
  drops: {
    meaning: 'The data plane lost frames.',
    cause: 'The verdict in the finding has its own page: `ripstop explain VERDICT`.',
    evidence: '`ripstop drops` counts by reason; `ripstop drops --follow` shows each frame.',
    remedy: 'Follow the text of the verdict.',
  },
  'endpoint-closed': {
    meaning: 'The agent could not open one of its listeners.',
    cause: 'Another program has the port or the path, or the directory is not writable.',
    evidence: '`ss -ltnp` shows the owner of a port. The metric ripstop_endpoint_up is 0.',
    remedy: 'Stop that program, or choose another address. The agent tries again without a restart.',
  },
  'uncaught-error': {
    meaning: 'The agent ended because of an error that no code caught, and was started again.',
    cause: 'This is a bug of Ripstop.',
    evidence: "The line 'uncaught error' of the agent's log has the stack.",
    remedy: 'Report it with that line.',
  },
  skipped: {
    meaning: 'The doctor could not run a check.',
    cause: 'The check needs something that is not there yet, for example a lease, or failed itself.',
    evidence: 'The finding names the check and the reason.',
    remedy: 'Remove the reason, and run the doctor again.',
  },
};
