import { useEffect, useRef } from 'preact/hooks';
import type { DropView, Sample, View } from '../../api/web/messages.ts';
import { formatCompact, formatRate } from '../../base/text/quantity.ts';
import { announce } from '../figures/announce.ts';
import { type Series, TimeChart } from '../figures/time-chart.tsx';

/** The first colours belong to the traffic. */
const FIRST_COLOUR = 2;
const COLOURS = 8;

/** The drops by reason, over time, with their remedies. */
export function Drops({ view, history }: { view: View; history: readonly Sample[] }) {
  // The order of the verdicts is fixed, so a reason keeps its colour.
  const reasons = view.verdicts.filter(name => view.drops.some(({ reason }) => reason === name));
  const colour = (reason: string) => FIRST_COLOUR + (view.verdicts.indexOf(reason) % COLOURS);
  const rate = (reason: string, sample: Sample | undefined) =>
    sample ? ((sample.drops[reason] ?? 0) * 1000) / sample.ms : 0;
  const series: Series[] = reasons.map(name => ({
    name,
    colour: colour(name),
    value: sample => rate(name, sample),
  }));
  const last = history.at(-1);
  useNewReasons(view.drops);
  return (
    <section class="card" aria-labelledby="drops-title">
      <h2 id="drops-title">Drops by reason</h2>
      <dl class="now-figures">
        <div>
          <dt>lost</dt>
          <dd>{formatRate(reasons.reduce((sum, name) => sum + rate(name, last), 0))}</dd>
        </div>
        <div>
          <dt>total</dt>
          <dd>{formatCompact(view.drops.reduce((sum, { frames }) => sum + frames, 0))}</dd>
        </div>
      </dl>
      <TimeChart label="Drops" history={history} series={series} stacked format={formatRate} />
      {view.drops.length === 0 ? (
        <p class="nothing">No drops since the data plane started.</p>
      ) : (
        <ul class="reasons">
          {[...view.drops]
            .sort((a, b) => rate(b.reason, last) - rate(a.reason, last) || b.frames - a.frames)
            .map(({ reason, frames, meaning, remedy }) => (
              <li key={reason}>
                <span
                  class="swatch"
                  aria-hidden="true"
                  style={{ background: `var(--series-${colour(reason)})` }}
                />
                <b>{reason}</b>
                <span class="number">{formatRate(rate(reason, last))}</span>
                <span class="number">{formatCompact(frames)} total</span>
                <span class="meaning">
                  {meaning}. <em>{remedy.replaceAll('`', '')}</em>
                </span>
              </li>
            ))}
        </ul>
      )}
    </section>
  );
}

/** Announces a new reason of drops to screen readers. */
function useNewReasons(drops: readonly DropView[]): void {
  const known = useRef<ReadonlySet<string>>(undefined);
  useEffect(() => {
    const fresh = drops.filter(({ reason }) => known.current && !known.current.has(reason));
    known.current = new Set(drops.map(({ reason }) => reason));
    if (fresh.length > 0)
      announce(`New drops: ${fresh.map(({ reason, meaning }) => `${reason}, ${meaning}`).join('; ')}`);
  }, [drops]);
}
