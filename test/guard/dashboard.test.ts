import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { METRICS } from '../../src/api/metrics.ts';
import { ROOT } from './checks/sources.ts';

/* The dashboard asks for metrics that there are, by labels that they have, and forgets none. */

interface Place {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: Place;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { panels } = JSON.parse(
  readFileSync(join(ROOT, 'docs/deploy/kustomize/monitoring/grafana-dashboard.json'), 'utf8'),
) as {
  panels: Panel[];
};
const queries = panels.flatMap(({ title, targets = [] }) => targets.map(target => ({ title, ...target })));

/** Given by Prometheus to everything that it scrapes. */
const SCRAPED = ['instance', 'job'];

const metricsIn = (expr: string) => [...new Set(expr.match(/ripstop_[a-z_]+/g))];

function labelsIn({ expr, legendFormat }: { expr: string; legendFormat: string }): string[] {
  const by = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(match => match[1]!.split(/,\s*/));
  const matched = [...expr.matchAll(/([a-z_]+)(?==~?")/g)].map(match => match[1]!);
  const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(match => match[1]!);
  return [...by, ...matched, ...shown];
}

/** What is wrong with one query. */
function faultsOf(query: { title: string; expr: string; legendFormat: string }): string[] {
  const known = new Map(METRICS.map(metric => [metric.name, metric]));
  return metricsIn(query.expr).flatMap(name => {
    const metric = known.get(name);
    if (!metric) return [`${query.title}: there is no ${name}`];
    const strange = labelsIn(query).filter(label => ![...SCRAPED, ...metric.labels].includes(label));
    const isRated = new RegExp(`(rate|increase|changes)\\(${name}\\b`).test(query.expr);
    return [
      ...strange.map(label => `${query.title}: ${name} has no label ${label}`),
      ...(isRated === (metric.kind === 'counter') ? [] : [`${query.title}: ${name} is a ${metric.kind}`]),
    ];
  });
}

t.test('every query fits the metrics of the agent', async t => {
  t.ok(queries.length > 20);
  t.same(queries.flatMap(faultsOf), []);
});

t.test('every metric has its place', async t => {
  const asked = new Set(queries.flatMap(({ expr }) => metricsIn(expr)));
  t.same(
    METRICS.map(({ name }) => name).filter(name => !asked.has(name)),
    [],
  );
});

t.test('no panel lies on another', async t => {
  const overlap = (a: Place, b: Place) =>
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
  for (const [at, panel] of panels.entries()) {
    t.ok(panel.gridPos.x + panel.gridPos.w <= 24, panel.title);
    for (const other of panels.slice(at + 1))
      if (overlap(panel.gridPos, other.gridPos)) t.fail(`${panel.title} and ${other.title}`);
  }
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
});

t.test('the check finds what it looks for', async t => {
  const query = (expr: string, legendFormat = '') => faultsOf({ title: 'x', expr, legendFormat });
  t.same(query('sum by (reason) (rate(ripstop_drops_total[1m]))', '{{reason}}'), []);
  t.same(query('ripstop_dropz'), ['x: there is no ripstop_dropz']);
  t.same(query('rate(ripstop_drops_total[1m])', '{{peer}}'), ['x: ripstop_drops_total has no label peer']);
  t.same(query('ripstop_drops_total'), ['x: ripstop_drops_total is a counter']);
  t.same(query('rate(ripstop_peers[1m])'), ['x: ripstop_peers is a gauge']);
});
