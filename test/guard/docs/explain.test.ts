import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { listNames, showExplanation } from '../../../src/cli/commands/show/explain-run.ts';
import { CODE } from '../../../src/cni/skel/errors.ts';
import { VERDICTS } from '../../../src/dataplane/descriptor/verdicts.ts';
import { ALERTS } from '../../../src/diagnose/explain/alerts.ts';
import { EXPLANATIONS, explain, similarNames } from '../../../src/diagnose/explain/explanation.ts';
import { must } from '../../../src/lab/command.ts';
import { ROOT } from '../checks/sources.ts';
import { renderExplanations, renderRules } from './generated/explain.ts';

const wrap = (text: string) => text;

t.test(
  'every verdict and CNI error code has a text; kinds and codes of ours are complete by their types',
  async t => {
    for (const { name } of VERDICTS) t.equal(explain(name)?.kind, 'verdict', name);
    for (const code of Object.values(CODE))
      t.equal(explain(`cni-${code}`)?.kind, 'CNI error code', `${code}`);
    t.equal(new Set(EXPLANATIONS.map(({ name }) => name.toLowerCase())).size, EXPLANATIONS.length);
  },
);

t.test('every text begins and ends as a sentence', async t => {
  for (const { name, meaning, cause, evidence, remedy } of EXPLANATIONS)
    for (const text of [meaning, cause, evidence, remedy]) t.match(text, /^[A-Z`/].*\.$/, `${name}: ${text}`);
});

t.test('texts name commands, metrics and files that exist', async t => {
  const commands = must([process.execPath, join(ROOT, 'dist/src/cli/main.js'), '--help']);
  const metrics = readFileSync(join(ROOT, 'src/api/metrics.ts'), 'utf8');
  const alerts = Object.values(ALERTS).map(({ expr }) => expr);
  const text = [...EXPLANATIONS.map(one => showExplanation(one, wrap)), ...alerts].join('\n');
  const named = (pattern: RegExp) => new Set([...text.matchAll(pattern)].map(([, name = '']) => name));
  for (const command of named(/`ripstop ([a-z]+)/g))
    t.match(commands, new RegExp(`^  ${command} `, 'm'), command);
  for (const metric of named(/(ripstop_[a-z_]+)/g)) t.match(metrics, new RegExp(`\\b${metric}\\b`), metric);
  for (const path of named(/\b(docs\/[\w./-]+\w)/g)) t.ok(existsSync(join(ROOT, path)), path);
});

t.test('a name is found whatever its case, and an unknown one has suggestions', async t => {
  t.equal(explain('einuse')?.name, 'EINUSE');
  t.equal(explain('NO-PEER')?.name, 'no-peer');
  t.equal(explain('nothing-of-the-kind'), undefined);
  t.match(similarNames('peer-unknown'), ['no-peer', 'unknown-peer']);
  t.match(listNames(EXPLANATIONS, wrap), /^VERDICT\npending +Not classified yet/);
});

t.test('the reference page and the Prometheus rules are generated from the texts', async t => {
  for (const [path, wanted] of [
    ['docs/reference/explain.md', renderExplanations()],
    ['docs/deploy/prometheus-rules.yml', renderRules()],
  ] as const) {
    const file = join(ROOT, path);
    if (process.env.UPDATE_DOCS === '1') writeFileSync(file, wanted);
    t.equal(
      readFileSync(file, 'utf8'),
      wanted,
      `UPDATE_DOCS=1 node dist/test/guard/docs/explain.test.js writes ${path}`,
    );
  }
  const { groups } = parse(renderRules()) as { groups: { rules: { alert: string }[] }[] };
  t.same(
    groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)),
    Object.keys(ALERTS),
  );
});
