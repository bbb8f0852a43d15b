import { facts, type Table, tables } from './content.ts';
import { plots } from './plots.ts';
import { cells } from './rows.ts';
import type { BenchFile } from './samples.ts';

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escapeHtml = (text: string) => text.replace(/[&<>"]/g, character => ENTITIES[character]!);

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em } dt { color: #666 } dd { margin: 0 }
.wide { overflow-x: auto } svg { max-width: 100%; height: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85em }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left } .met { color: #00704a } .missed { color: #b03000 } .met, .missed { white-space: normal }
`;

function format({ title, head, rows }: Table): string {
  const cell = (tag: string) => (text: string) => {
    const found = /(?:^| )(met|missed)$/.exec(text)?.[1];
    const mark = found ? ` class="${found}"` : '';
    return `<${tag}${mark}>${escapeHtml(text)}</${tag}>`;
  };
  const body = rows.map(row => `<tr>${row.map(cell('td')).join('')}</tr>`).join('\n');
  return `<h2>${escapeHtml(title)}</h2>\n<div class="wide"><table><thead><tr>${head.map(cell('th')).join('')}</tr></thead>
<tbody>\n${body}\n</tbody></table></div>`;
}

/** One page that needs nothing but itself: facts, plots as SVG, tables. */
export function formatHtml(file: BenchFile): string {
  const list = facts(file).map(
    ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`,
  );
  const all = tables(file);
  const goals = all.filter(({ title }) => title.startsWith('Goals'));
  const others = all.filter(table => !goals.includes(table));
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Ripstop benchmark</title><style>${STYLE}</style></head><body>
<h1>Ripstop benchmark</h1>
<dl>${list.join('')}</dl>
${goals.map(format).join('\n')}
<h2>Plots</h2>
<p>Bars are medians, whiskers reach from the smallest to the largest sample.</p>
${plots(file, cells(file.samples, 'e2e')).join('\n')}
${others.map(format).join('\n')}
</body></html>
`;
}
