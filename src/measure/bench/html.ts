import { formatCompact } from '../../base/text/quantity.ts';
import { FIGURES } from './figures.ts';
import { type BenchReport, type Cell, cellsOf, confidenceOf } from './report.ts';
import { type ChartSeries, escapeXml, type LineChart, lineChart } from './svg.ts';
import { valueText } from './value-text.ts';

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9em }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd } th:first-child, td:first-child { text-align: left }
svg { max-width: 100%; height: auto; font: 11px system-ui, sans-serif } svg .title { font-size: 14px; font-weight: 600 }
svg .grid { stroke: #ddd }
.note { border-left: 3px solid #d55e00; padding-left: .8em }
`;

/** One page with tables and plots that needs nothing but itself. */
export function benchHtml(report: BenchReport): string {
  const { peer, began, seconds, repeats, lossLimitPercent, notes, noisy } = report;
  const cells = cellsOf(report.samples);
  const warnings = [...notes, ...(noisy.length > 0 ? [`Noisy: ${noisy.join(', ')}.`] : [])];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ripstop bench ${escapeXml(peer)}</title><style>${STYLE}</style></head><body>
<h1>ripstop bench ${escapeXml(peer)}</h1>
<p>${escapeXml(began)}, ${seconds} s, ${repeats} repeats, trials pass with at most ${lossLimitPercent} % loss. Medians; the range
of the repeats has the true median in it with ${confidenceOf(repeats).toFixed(0)} % confidence. Sizes and bit rates are those of IP packets.</p>
${warnings.map(note => `<p class="note">${escapeXml(note)}</p>`).join('\n')}
${[...new Set(cells.map(({ size }) => size))].map(size => section(size, cells)).join('\n')}
<h2>Plots</h2>
${chartsOf(report, cells).map(lineChart).join('\n')}
</body></html>
`;
}

function section(size: number, cells: readonly Cell[]): string {
  const rows = cells
    .filter(cell => cell.size === size)
    .map(({ figure, median, min, max }) => {
      const known = FIGURES[figure];
      const texts = [known.title, valueText(median, known), valueText(min, known), valueText(max, known)];
      return `<tr>${texts.map(text => `<td>${escapeXml(text)}</td>`).join('')}</tr>`;
    });
  const title = size === 0 ? 'The path' : `Packets of ${size} bytes`;
  return `<h2>${title}</h2>
<table><thead><tr><th></th><th>median</th><th>min</th><th>max</th></tr></thead><tbody>
${rows.join('\n')}
</tbody></table>`;
}

function chartsOf({ curve, sizes }: BenchReport, cells: readonly Cell[]): LineChart[] {
  const loss: ChartSeries[] = sizes.map(size => ({
    name: `${size} bytes`,
    points: curve
      .filter(point => point.size === size)
      .map(({ offered, lossPercent }) => [offered, lossPercent] as const),
  }));
  const latency: ChartSeries[] = sizes.flatMap(size =>
    (['p50', 'p99'] as const).map(share => ({
      name: `${size} bytes, ${share}`,
      points: ([10, 50, 90] as const).flatMap(load => {
        const cell = cells.find(one => one.size === size && one.figure === `rtt${load}${share}`);
        return cell ? [[load, cell.median] as const] : [];
      }),
    })),
  );
  return [
    {
      title: 'Loss by rate',
      x: 'packets/s that were sent',
      y: 'lost, %',
      series: loss,
      format: formatCompact,
    },
    {
      ...{ title: 'Round trip by load', x: 'load, % of the throughput', y: 'us' },
      ...{ series: latency, logarithmicY: true, format: formatCompact },
    },
  ];
}
