import { METRICS } from '../../../../src/api/metrics.ts';
import { WORKER_STATS } from '../../../../src/dataplane/descriptor/counters.ts';
import { VERDICTS } from '../../../../src/dataplane/descriptor/verdicts.ts';
import { type GeneratedPart, table } from './part.ts';

/** Every verdict and every worker statistic of the data plane, for docs/reference/metrics.md. */
export const verdicts: GeneratedPart = {
  sources: 'src/dataplane/descriptor/verdicts.ts and src/dataplane/descriptor/counters.ts',
  lines: () => [
    '## Verdicts',
    '',
    ...table(
      ['verdict', 'dropped', 'direction', 'what happened', 'what to do'],
      VERDICTS.map(({ name, drop, direction, meaning, remedy }) => [
        `\`${name}\``,
        drop ? 'yes' : '',
        direction,
        meaning,
        remedy,
      ]),
    ),
    '',
    '## Statistics of a worker',
    '',
    ...table(
      ['statistic', 'meaning'],
      WORKER_STATS.map(({ name, meaning }) => [`\`${name}\``, meaning]),
    ),
  ],
};

/** Every metric of the agent, for docs/reference/metrics.md. */
export const metrics: GeneratedPart = {
  sources: 'src/api/metrics.ts',
  lines: () => [
    '## Metrics of the agent',
    '',
    ...table(
      ['metric', 'kind', 'labels', 'meaning'],
      METRICS.map(({ name, kind, labels, help }) => [`\`${name}\``, kind, labels.join(', '), help]),
    ),
  ],
};
