import { stringify } from 'yaml';
import { ALERTS } from '../../../../src/diagnose/explain/alerts.ts';
import { EXPLANATIONS, KINDS } from '../../../../src/diagnose/explain/explanation.ts';

/** The page docs/reference/explain.md: every text of `ripstop explain`, by kind. */
export function renderExplanations(): string {
  const kinds = KINDS.map(kind => {
    const entries = EXPLANATIONS.filter(one => one.kind === kind).map(
      ({ name, meaning, cause, evidence, remedy }) =>
        `### ${name}\n\n${meaning}\n\n- **Why it happens**: ${cause}\n- **How to see it**: ${evidence}\n- **What to do**: ${remedy}\n`,
    );
    return `## ${kind.charAt(0).toUpperCase()}${kind.slice(1)}s\n\n${entries.join('\n')}`;
  });
  return `${[
    '# What names mean',
    '<!-- generated from src/diagnose/explain; UPDATE_DOCS=1 node dist/test/guard/docs/explain.test.js writes it -->',
    'This page has a text for every verdict, finding of `ripstop doctor`, alert and error code. `ripstop explain NAME`\nprints the same text. Codes of system calls are in errno(3).',
    ...kinds,
  ].join('\n\n')}`;
}

function ruleGroups(): object[] {
  const rules = Object.entries(ALERTS).map(([alert, { expr, for: held, severity, meaning }]) => ({
    alert,
    expr,
    for: held,
    labels: { severity },
    annotations: { summary: meaning, runbook: `ripstop explain ${alert}` },
  }));
  return [{ name: 'ripstop', rules }];
}

const HEAD =
  '# Alerting rules for Prometheus, generated from src/diagnose/explain/alerts.ts.\n# `ripstop explain NAME` prints causes and remedies of each.\n';

/** The file docs/deploy/prometheus-rules.yml. */
export function renderRules(): string {
  return `${HEAD}${stringify({ groups: ruleGroups() }, { lineWidth: 0 })}`;
}

/** The same rules as an object of the Prometheus operator, for kustomize. */
export function renderPrometheusRule(): string {
  const object = {
    ...{ apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule' },
    metadata: { name: 'ripstop', namespace: 'kube-ripstop' },
    spec: { groups: ruleGroups() },
  };
  return `${HEAD}${stringify(object, { lineWidth: 0 })}`;
}
