import type { FlowsView, FlowView } from '../../api/web/messages.ts';
import { formatBitRate, formatCompact, formatLatency, formatShare } from '../../base/text/quantity.ts';
import { Cell, Table } from '../figures/table.tsx';

interface FlowsProps {
  readonly flows: FlowsView;
  /** Id of the chosen peer, or empty. */
  readonly peer: string;
}

const SHOWN = 10;

/** The flows with the highest current rate, of all peers or of the chosen one. */
export function Flows({ flows, peer }: FlowsProps) {
  const rows = flows.rows.filter(flow => peer === '' || flow.peer === peer).slice(0, SHOWN);
  const sampled = flows.sampled < 1 ? `, from ${formatShare(flows.sampled)} of the frames` : '';
  return (
    <section class="flows" aria-labelledby="flows-title">
      <h3 id="flows-title">
        Top flows <span class="hint">{`of ${formatCompact(flows.total)}${sampled}`}</span>
      </h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Table of flows">
        <Table titles={['Flow', 'Rate', 'Round trip', 'Retransmissions', 'Drops']} numbers={1}>
          {rows.map(flow => (
            <FlowRow
              key={`${flow.direction} ${flow.protocol} ${flow.source} ${flow.destination}`}
              flow={flow}
            />
          ))}
        </Table>
        {rows.length === 0 ? <p class="nothing">No packets in the last seconds.</p> : null}
      </section>
    </section>
  );
}

function FlowRow({ flow }: { flow: FlowView }) {
  const { direction, protocol, source, destination, drops, dropReason, retransmissions, rttMs } = flow;
  const pods = [flow.sourcePod, flow.destinationPod];
  return (
    <tr>
      <th scope="row">
        <span class={direction === 'egress' ? 'sent' : 'received'}>
          <span aria-hidden="true">{direction === 'egress' ? '↑' : '↓'}</span>
          <span class="unseen">{direction === 'egress' ? 'sent' : 'received'}</span>
        </span>{' '}
        <span class="mono">
          {protocol} {source} → {destination}
        </span>
        {pods.some(Boolean) ? <span class="hint"> {pods.map(pod => pod ?? '…').join(' → ')}</span> : null}
        {drops > 0 && dropReason ? <span class="why"> {dropReason}</span> : null}
      </th>
      <Cell title="Rate" kind="number">
        {formatBitRate(flow.bitRate)}
      </Cell>
      <Cell title="Round trip" kind="number">
        {rttMs === null ? '–' : formatLatency(rttMs)}
      </Cell>
      <Cell title="Retransmissions" kind="number">
        {protocol === 'tcp' ? formatCompact(retransmissions) : '–'}
      </Cell>
      <Cell title="Drops" kind="number" isBad={drops > 0}>
        {formatCompact(drops)}
      </Cell>
    </tr>
  );
}
