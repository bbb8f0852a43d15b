import type { Agent } from '../../agent/agent.ts';
import { type Finding, warning } from './finding.ts';

/** Peers towards which trains of UDP_SEGMENT do not arrive, so that their datagrams leave one by one. */
export function checkSegmentation({ network, proofs }: Agent): Finding[] {
  return (network?.overlays ?? []).flatMap(overlay =>
    proofs
      .broken(overlay)
      .map(({ peer, state }) =>
        warning(
          'segmentation-broken',
          `segmentation offload towards ${peer.node?.split('/')[0] ?? peer.address} is off since ${state.since}: ${state.detail}; traffic passes, at a higher cost`,
          'update the kernel of this node or of its hypervisor (Linux 7.0 to 7.1.4 breaks such trains), or try `ethtool -K <underlay> tx-udp-segmentation off`; the agent tries again by itself',
        ),
      ),
  );
}
