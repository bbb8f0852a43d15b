import type { FlowsView, Sample } from '../../api/web/messages.ts';
import { formatBitRate } from '../../base/text/quantity.ts';
import { type Series, TimeChart } from '../figures/time-chart.tsx';
import { Flows } from './flows.tsx';

const SERIES: readonly Series[] = [
  { name: 'sent', colour: 0, value: ({ sentBytes, ms }) => (sentBytes * 8000) / ms },
  { name: 'received', colour: 1, value: ({ receivedBytes, ms }) => (receivedBytes * 8000) / ms },
];

interface TrafficProps {
  readonly history: readonly Sample[];
  readonly flows: FlowsView | null;
  /** Id of the chosen peer, or empty. */
  readonly peer: string;
}

/** The traffic of the overlays in the last minutes. */
export function Traffic({ history, flows, peer }: TrafficProps) {
  const last = history.at(-1);
  return (
    <section class="card" aria-labelledby="traffic-title">
      <h2 id="traffic-title">Traffic</h2>
      <dl class="now-figures">
        {SERIES.map(({ name, colour, value }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd style={{ color: `var(--series-${colour})` }}>{last ? formatBitRate(value(last)) : '–'}</dd>
          </div>
        ))}
      </dl>
      <TimeChart label="Traffic" history={history} series={SERIES} stacked={false} format={formatBitRate} />
      {flows ? <Flows flows={flows} peer={peer} /> : null}
    </section>
  );
}
