import { useId, useState } from 'preact/hooks';
import type { Sample } from '../../api/web/messages.ts';
import { clock, niceSteps } from './axis.ts';

/** One line of a chart, or one layer of a stack. */
export interface Series {
  readonly name: string;
  /** Number N of the colour `--series-N`. */
  readonly colour: number;
  /** Per second, within a sample. */
  readonly value: (sample: Sample) => number;
}

interface ChartProps {
  /** Accessible name. */
  readonly label: string;
  readonly history: readonly Sample[];
  readonly series: readonly Series[];
  readonly stacked: boolean;
  readonly format: (value: number) => string;
}

const WIDTH = 600;
const HEIGHT = 170;
const BOTTOM = 22;
/** Possible lengths of the time axis, minutes: the smallest that holds all samples is used. */
const SPANS = [2, 5, 10];

/** A chart of the last ten minutes. The pointer and the arrow keys move a cursor that shows the values at a time. */
export function TimeChart({ label, history, series, stacked, format }: ChartProps) {
  const [cursor, setCursor] = useState<number>();
  const readout = useId();
  const last = history.at(-1);
  const end = last?.at ?? Date.now();
  const known = (end - (history[0]?.at ?? end)) / 60_000;
  const minutes = SPANS.find(span => known <= span) ?? 10;
  const span = minutes * 60_000;
  const x = (at: number) => WIDTH - ((end - at) / span) * WIDTH;
  const values = history.map(sample => series.map(({ value }) => value(sample)));
  const tops = values.map(row =>
    stacked ? row.reduce((sum, value) => sum + value, 0) : Math.max(0, ...row),
  );
  const steps = niceSteps(Math.max(0, ...tops));
  const top = steps.at(-1) ?? 1;
  const y = (value: number) => (HEIGHT - BOTTOM) * (1 - value / top) + 6;
  const at = Math.min(cursor ?? history.length - 1, history.length - 1);
  const sample = history[at];
  const move = (to: number) => setCursor(Math.max(0, Math.min(history.length - 1, to)));
  const spoken = series.flatMap(({ name }, index) => {
    const value = values[at]?.[index] ?? 0;
    return stacked && value === 0 ? [] : [`${name} ${format(value)}`];
  });
  const text = sample ? `${clock(sample.at)}: ${spoken.join(', ') || 'nothing'}` : 'no samples yet';
  return (
    <figure class="chart">
      <div
        role="slider"
        tabIndex={0}
        aria-label={`${label}: moment to read`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, history.length - 1)}
        aria-valuenow={Math.max(0, at)}
        aria-valuetext={text}
        aria-describedby={readout}
        onPointerMove={event => {
          const box = event.currentTarget.getBoundingClientRect();
          const moment = end - span * (1 - (event.clientX - box.left) / box.width);
          const found = history.findIndex(({ at: ends }) => ends >= moment);
          move(found === -1 ? history.length - 1 : found);
        }}
        onPointerLeave={() => setCursor(undefined)}
        onBlur={() => setCursor(undefined)}
        onKeyDown={event => {
          const jump = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15 }[event.key];
          if (jump !== undefined) move(at + jump);
          else if (event.key === 'Home') move(0);
          else if (event.key === 'End') setCursor(undefined);
          else return;
          event.preventDefault();
        }}
      >
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT + 6}`} aria-hidden="true">
          {steps.map(step => (
            <g key={step} class="grid">
              <line x1={0} x2={WIDTH} y1={y(step)} y2={y(step)} />
              {step > 0 ? (
                <text x={2} y={y(step) + 11}>
                  {format(step)}
                </text>
              ) : null}
            </g>
          ))}
          {[0, 1, 2, 3, 4].map(quarter => (
            <text
              key={quarter}
              class="axis"
              x={WIDTH - (quarter * WIDTH) / 4}
              y={HEIGHT}
              data-quarter={quarter}
            >
              {quarter === 0 ? clock(end) : `−${(minutes * quarter) / 4} min`}
            </text>
          ))}
          {stacked ? (
            <Stack history={history} series={series} values={values} x={x} y={y} />
          ) : (
            <Lines history={history} series={series} values={values} x={x} y={y} />
          )}
          {cursor !== undefined && sample ? (
            <line class="cursor" x1={x(sample.at)} x2={x(sample.at)} y1={0} y2={y(0)} />
          ) : null}
        </svg>
      </div>
      <figcaption id={readout} class={cursor === undefined ? 'now' : 'then'}>
        {text}
      </figcaption>
    </figure>
  );
}

interface DrawnProps {
  readonly history: readonly Sample[];
  readonly series: readonly Series[];
  readonly values: readonly (readonly number[])[];
  readonly x: (at: number) => number;
  readonly y: (value: number) => number;
}

/** One bar per sample: drops come in bursts, and a line between two samples would show drops that did not occur. */
function Stack({ history, series, values, x, y }: DrawnProps) {
  return series.map(({ name, colour }, index) => {
    const path = history.map((sample, at) => {
      const row = values[at] ?? [];
      const value = row[index] ?? 0;
      if (value === 0) return '';
      const below = row.slice(0, index).reduce((sum, lower) => sum + lower, 0);
      const left = x(sample.at - sample.ms);
      const width = Math.max(1, x(sample.at) - left - 0.4);
      const low = y(below);
      return `M${left} ${low}h${width}V${Math.min(low - 1, y(below + value))}h${-width}Z`;
    });
    return <path key={name} class="bar" d={path.join('')} style={{ fill: `var(--series-${colour})` }} />;
  });
}

function Lines({ history, series, values, x, y }: DrawnProps) {
  return series.map(({ name, colour }, index) => {
    const points = history.map(
      (sample, at) => `${x(sample.at).toFixed(1)} ${y(values[at]?.[index] ?? 0).toFixed(1)}`,
    );
    const [oldest] = history;
    const newest = history.at(-1);
    if (!oldest || !newest) return null;
    const first = x(oldest.at).toFixed(1);
    const end = x(newest.at).toFixed(1);
    return (
      <g key={name} style={{ color: `var(--series-${colour})` }}>
        <path class="area" d={`M${points.join('L')}L${end} ${y(0)}L${first} ${y(0)}Z`} />
        <path class="line" d={`M${points.join('L')}`} />
      </g>
    );
  });
}
