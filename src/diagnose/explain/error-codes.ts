import type { FaultCode } from '../../base/errors.ts';
import type { ExplanationText } from './text.ts';

/** By code of an error that Ripstop itself raises; codes of system calls are in errno(3). */
export const ERROR_CODES: Readonly<Record<FaultCode, ExplanationText>> = {
  EAGENT: {
    meaning: 'The agent did not answer a command as expected.',
    cause: 'It ended while it answered, has another version, or holds no lease yet.',
    evidence: '`ripstop status`, and the log of the agent.',
    remedy: 'Use the same version for command and agent, and repeat the command when the agent is ready.',
  },
  ECAPACITY: {
    meaning: 'The forwarding tables have no room for another entry.',
    cause: 'There are more peers, prefixes or MAC addresses than tables can hold: 65 534 peers at most.',
    evidence: 'The message names the table, what it holds and what is wanted.',
    remedy: 'Remove leases of nodes that are gone. A program that opens a DataPlane may raise the capacity.',
  },
  ECAPTURE: {
    meaning: 'A capture cannot be taken, read or written.',
    cause: 'The file is damaged or no capture, the device does not exist, or the kernel carries the packets.',
    evidence: 'The message names the file and the byte, or the devices that there are.',
    remedy: 'Follow the hint of the message.',
  },
  ECOMMAND: {
    meaning: 'A program that Ripstop starts has failed.',
    cause: 'The program ended with an error, or refused its input.',
    evidence: 'The message has the command and the first line of its error.',
    remedy: 'Run the command by itself to see its complete output.',
  },
  ECONFIG: {
    meaning: 'A flag, a file or the network configuration has a wrong value. The exit status is 2.',
    cause: 'A key is unknown, a value has the wrong type or range, or two values contradict each other.',
    evidence: 'The message names the file or flag, the key, and what would be right.',
    remedy:
      'Correct the value; `ripstop run --check FILE` and `ripstop plan` check without changing anything.',
  },
  EFILTER: {
    meaning: 'A capture filter cannot be compiled.',
    cause: 'The expression is wrong, or tcpdump, whose compiler is used, is not installed.',
    evidence: '`tcpdump -d EXPRESSION` gives the same error.',
    remedy: 'Correct the expression (pcap-filter(7)), or select with --point, --peer, --vni and --verdict.',
  },
  EINUSE: {
    meaning: 'Something that Ripstop needs belongs to another program or node.',
    cause:
      'A port, device, socket or lock is held by another process, or a running node has the same public address.',
    evidence: '`ss -lunp`, `ip -d link show`, or the node that the message names.',
    remedy: 'Stop the other owner, or choose another port, name or address.',
  },
  ELAYOUT: {
    meaning: 'The native addon or the shared memory does not fit the code.',
    cause: 'The addon was built from another version.',
    evidence: 'The message names the first value that differs.',
    remedy: 'Run `npm run build`, and restart the agent.',
  },
  ELEASE: {
    meaning: 'A lease in the store is malformed.',
    cause: 'Another program or another version wrote it.',
    evidence: 'The message names the key and the field. `ripstop doctor` lists such leases.',
    remedy: 'Delete the lease, or restart the agent of that node.',
  },
  ENOAGENT: {
    meaning: 'No agent listens on the socket.',
    cause: 'The agent is not running, or has another --state-dir or --instance.',
    evidence: '`ls -l /run/ripstop` shows the sockets.',
    remedy: 'Start `ripstop agent` or `ripstop run FILE`, or name the socket with --socket.',
  },
  ENODEVICE: {
    meaning: 'A network device that is needed does not exist.',
    cause: 'Another program deleted it, or the module tun is not loaded.',
    evidence: '`ip link show` lists the devices; `ls /dev/net/tun` shows the module.',
    remedy: 'Load the module with `modprobe tun`. The agent makes its devices again by itself.',
  },
  ENOLEASE: {
    meaning: 'The node has no lease, and cannot get one.',
    cause: 'With the Kubernetes store: the Node object does not exist, or it has no podCIDR.',
    evidence: '`ripstop status` shows the reason. `kubectl get node NAME -o yaml` shows spec.podCIDRs.',
    remedy: 'Let kube-controller-manager allocate node CIDRs (--allocate-node-cidrs=true).',
  },
  ENOWEB: {
    meaning: 'The agent serves no web UI.',
    cause:
      'It was started with --web-port=0, which is the default of `ripstop run`, or the listener could not be opened.',
    evidence: '`ripstop status` shows a listener that is not open, with the reason.',
    remedy: 'Remove that reason, or start the agent with --web-port=8473.',
  },
  EPRIV: {
    meaning: 'The process may not do what the task needs.',
    cause: 'CAP_NET_ADMIN, CAP_NET_RAW or another privilege is missing.',
    evidence: '`grep Cap /proc/PID/status`; docs/guides/operate/privileges.md lists what is needed for what.',
    remedy: 'Run as root, or add the capability to the unit or the container.',
  },
  EREFUSED: {
    meaning: 'The API server refused a request.',
    cause: 'The service account lacks a permission (RBAC), or the object has changed.',
    evidence: 'The message has the status of the answer. `kubectl auth can-i` tests a permission.',
    remedy: 'Apply the roles of docs/deploy/kustomize/base/kube-ripstop.yml.',
  },
  EREPORT: {
    meaning: 'A file is not a report of `ripstop report`, or it lacks the part that a command needs.',
    cause:
      'The file was cut or changed, is of another program or version, or the part could not be had on its node.',
    evidence: '`tar -xzOf FILE manifest.json` lists the files, and what is missing with the reason.',
    remedy: 'Give a file of `ripstop report` of the same version, or make it again while the agent runs.',
  },
  ESOCKET: {
    meaning: "The agent's socket cannot be made.",
    cause: 'Its directory is not writable, or bind(2) failed.',
    evidence: 'The message has the path and the reason.',
    remedy: 'Choose another --state-dir.',
  },
  ESTORE: {
    meaning: 'The lease store cannot be read or written.',
    cause: 'It is unreachable, refuses the credentials, or its file or directory is not writable.',
    evidence: 'The message has the location and the error of the client.',
    remedy: 'Check address, certificates and permissions. The agent tries again.',
  },
  EUNDERLAY: {
    meaning: 'The agent cannot decide which interface carries the datagrams.',
    cause: 'There is no default route, the families have different ones, or no interface fits the selection.',
    evidence: '`ip route show default` and `ip -6 route show default`.',
    remedy: 'Name the interface or its address with --iface.',
  },
  EWEB: {
    meaning: 'The web UI cannot be served.',
    cause: 'The files of the web UI are missing, because it was not built.',
    evidence: 'The message has the missing file.',
    remedy: 'Run `npm run build`.',
  },
};
