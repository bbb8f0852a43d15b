import { useState } from 'preact/hooks';
import type { PeerView, View } from '../../api/web/messages.ts';
import { formatBitRate, formatBytes, formatLatency, formatShare } from '../../base/text/quantity.ts';
import { type LinkRate, peerKey } from '../figures/rates.ts';
import { Cell, Table } from '../figures/table.tsx';

interface LinksProps {
  readonly view: View;
  readonly rates: ReadonlyMap<string, LinkRate>;
  readonly chosen: string;
  readonly choose: (id: string) => void;
}

/** Number of peers from which on there is a search field. */
const SEARCHED = 10;

/** The table of all peers. */
export function Links({ view, rates, chosen, choose }: LinksProps) {
  const [search, setSearch] = useState('');
  const words = ({ name, address, subnets }: PeerView) => [name, address, ...subnets].join(' ').toLowerCase();
  const shown = view.peers
    .filter(peer => words(peer).includes(search.toLowerCase()))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
  return (
    <section class="card wide" aria-labelledby="peers-title">
      <h2 id="peers-title">Peers</h2>
      {view.peers.length >= SEARCHED ? (
        <label class="search">
          Search
          <input type="search" value={search} onInput={event => setSearch(event.currentTarget.value)} />
        </label>
      ) : null}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard */}
      <section class="scroll" tabIndex={0} aria-label="Table of peers">
        <Table
          titles={['Peer', 'Address', 'Pods', 'Sent', 'Received', 'Loss', 'Round trip', 'Total']}
          numbers={3}
        >
          {shown.map(peer => (
            <PeerRow
              key={peerKey(peer)}
              peer={peer}
              rate={rates.get(peerKey(peer))}
              isChosen={chosen === peer.id}
              choose={choose}
            />
          ))}
        </Table>
      </section>
    </section>
  );
}

interface RowProps {
  readonly peer: PeerView;
  readonly rate: LinkRate | undefined;
  readonly isChosen: boolean;
  readonly choose: (id: string) => void;
}

function PeerRow({ peer, rate, isChosen, choose }: RowProps) {
  const { id, name, address, subnets, sent, received, probe } = peer;
  return (
    <tr data-chosen={isChosen}>
      <th scope="row">
        <button
          type="button"
          class="plain"
          aria-pressed={isChosen}
          onClick={() => choose(isChosen ? '' : id)}
        >
          {name}
        </button>
      </th>
      <Cell title="Address" kind="text">
        {address}
      </Cell>
      <Cell title="Pods" kind="text">
        {subnets.join(' ')}
      </Cell>
      <Cell title="Sent" kind="number">
        {sent && rate ? formatBitRate(rate.sentBits) : '–'}
      </Cell>
      <Cell title="Received" kind="number">
        {received && rate ? formatBitRate(rate.receivedBits) : '–'}
      </Cell>
      <Cell title="Loss" kind="number" isBad={probe !== null && probe.loss > 0}>
        {probe ? formatShare(probe.loss) : '–'}
      </Cell>
      <Cell title="Round trip" kind="number">
        {probe?.rttMs == null ? '–' : formatLatency(probe.rttMs)}
      </Cell>
      <Cell title="Total" kind="number">
        {sent && received ? formatBytes(sent.bytes + received.bytes) : '–'}
      </Cell>
    </tr>
  );
}
