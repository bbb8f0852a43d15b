import type { ExplanationText } from './text.ts';

const LOG =
  'The runtime logs the code with its message and details: `journalctl -u containerd`, `kubectl describe pod`.';

/** `cni-` and the code of an error object of a CNI plugin (CNI specification 1.1, section "Error"). */
export const CNI_CODES: Readonly<Record<string, ExplanationText>> = {
  'cni-1': {
    meaning: 'The plugin does not support the `cniVersion` of the configuration.',
    cause:
      'The version does not exist, is newer than 1.1.0, or is too old for the command: CHECK needs 0.4.0, GC and STATUS need 1.1.0.',
    evidence: '`CNI_COMMAND=VERSION /opt/cni/bin/PLUGIN </dev/null` prints the supported versions.',
    remedy: 'Set `cniVersion` to one of these versions.',
  },
  'cni-2': {
    meaning: 'The configuration has a field that the plugin does not support.',
    cause: 'The field belongs to another plugin, or to a feature that this kernel does not have.',
    evidence: LOG,
    remedy: 'Remove the field that the message names.',
  },
  'cni-3': {
    meaning: 'The container or its attachment is not known.',
    cause: 'Third-party plugins use this code. The plugins of Ripstop report what CHECK finds with code 999.',
    evidence: LOG,
    remedy: 'Create the pod again.',
  },
  'cni-4': {
    meaning: 'A variable of the environment is missing or malformed.',
    cause:
      'CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME or CNI_PATH was not set as the specification demands, or the path in CNI_NETNS does not exist any more.',
    evidence: 'The message names the variable.',
    remedy: 'Nothing, if the pod has ended meanwhile. Otherwise set it; a script that calls the plugin must.',
  },
  'cni-5': {
    meaning: 'Input or output failed.',
    cause:
      'Standard input, a state file or a socket could not be read or written, for example on a full disk.',
    evidence: 'The message names the file and the errno.',
    remedy: 'Remove the reason. The runtime tries the pod again.',
  },
  'cni-6': {
    meaning: 'The input is not valid JSON, or an object that the specification does not allow.',
    cause: 'The configuration file is damaged, or a previous plugin printed something else than a result.',
    evidence: 'The message names the position.',
    remedy: 'Correct the file in /etc/cni/net.d, or the previous plugin.',
  },
  'cni-7': {
    meaning: 'A value of the network configuration is wrong.',
    cause: 'A key has a wrong type or range, or two keys contradict each other.',
    evidence: 'The message names the path of the key and what would be right.',
    remedy: 'Correct the file in /etc/cni/net.d.',
  },
  'cni-8': {
    meaning: 'CNI_NETNS is the network namespace of the node itself.',
    cause: 'The runtime or a script passed the namespace that the plugin runs in.',
    evidence: '`ls -l` of the path that the message names; `lsns -t net` lists the namespaces.',
    remedy: 'Correct the path, or set CNI_NETNS_OVERRIDE=1 if this is meant.',
  },
  'cni-11': {
    meaning: 'The plugin cannot do its work at present, and the runtime should try again.',
    cause: 'The agent is starting, a lock is held, or no DHCP server answered.',
    evidence: LOG,
    remedy: 'Nothing, if it ends within a minute. Otherwise see `ripstop status` on the node.',
  },
  'cni-50': {
    meaning: 'STATUS: the plugin cannot serve ADD.',
    cause:
      'The file subnet.env does not exist because the agent holds no lease, or the agent does not answer.',
    evidence: '`ripstop status` shows the reason; /run/flannel/subnet.env is missing.',
    remedy: 'Remove the reason that `ripstop status` names.',
  },
  'cni-51': {
    meaning: 'STATUS: the plugin cannot serve ADD, and existing pods may have lost their connectivity.',
    cause: 'The agent is not ready, for example because its data plane has stopped.',
    evidence: '`ripstop status` and `ripstop doctor` show the reason.',
    remedy: 'Remove the reason that `ripstop status` names.',
  },
  'cni-999': {
    meaning: 'The plugin failed for a reason that has no code of its own.',
    cause: 'A system call or a program failed in a way that the plugin does not expect.',
    evidence: LOG,
    remedy: 'Follow the message. If it names no reason, report it as a bug.',
  },
};
