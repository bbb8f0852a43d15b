/** A network as a runtime has it, and whose executables wire it. */
export interface Chain {
  id: string;
  label: string;
  /** Directory of the executables. */
  binDir: string;
  plugins: readonly { type: string; [key: string]: unknown }[];
}

export interface Folders {
  /** Of the reference plugins. */
  go: string;
  /** Ours, whose agent's socket answers. */
  served: string;
  /** Ripstop's plugins without an agent. */
  alone: string;
  scratch: string;
}

/** The chain: flannel's usual network as its plugin makes it of the delegate, port mapping behind it. */
function standard(id: string, label: string, binDir: string, subnet: number, { scratch }: Folders): Chain {
  const ipam = {
    type: 'host-local',
    dataDir: `${scratch}/networks-${id}`,
    ranges: [[{ subnet: `10.${subnet}.0.0/21` }]],
  };
  const bridge = {
    type: 'bridge',
    bridge: `cni${subnet}`,
    isDefaultGateway: true,
    hairpinMode: true,
    mtu: 1450,
    ipam,
  };
  return { id, label, binDir, plugins: [bridge, { type: 'portmap', capabilities: { portMappings: true } }] };
}

/**
 * Who is measured. Debian packages the reference plugins without flannel's own; their chain is therefore one process
 * shorter than on a node.
 * @param subnetFile what flannel or the agent writes about this node
 */
export function chains(folders: Folders, subnetFile: string): Chain[] {
  const flannel = {
    type: 'flannel',
    subnetFile,
    dataDir: `${folders.scratch}/flannel`,
    delegate: { bridge: 'cni84', isDefaultGateway: true, hairpinMode: true },
    ipam: { dataDir: `${folders.scratch}/networks-flannel` },
  };
  const own = {
    type: 'ripstop',
    subnetFile,
    ipam: { dataDir: `${folders.scratch}/networks-ripstop` },
    capabilities: { portMappings: true },
  };
  return [
    standard('go', 'chain, Go reference', folders.go, 81, folders),
    standard('own', 'chain, no agent', folders.alone, 82, folders),
    standard('own-agent', 'chain, agent', folders.served, 83, folders),
    {
      id: 'flannel',
      label: 'flannel and chain, agent',
      binDir: folders.served,
      plugins: [flannel, { type: 'portmap', capabilities: { portMappings: true } }],
    },
    { id: 'ripstop', label: 'ripstop, agent', binDir: folders.served, plugins: [own] },
  ];
}
