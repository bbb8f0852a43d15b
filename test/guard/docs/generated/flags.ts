import { FLAGS, type Flag } from '../../../../src/agent/config/flag-table.ts';
import { variableOf } from '../../../../src/agent/config/flags.ts';
import { type GeneratedPart, table } from './part.ts';

function flagRow(flag: Flag): string[] {
  const fallback = Array.isArray(flag.fallback) ? flag.fallback.join(',') : String(flag.fallback);
  const text = flag.inert ? `accepted without effect: ${flag.inert}` : flag.doc;
  return [`\`--${flag.name}\``, fallback === '' ? '' : `\`${fallback}\``, text];
}

/** Every flag of the agent, for docs/reference/flags.md. */
export const flags: GeneratedPart = {
  sources: 'src/agent/config/flag-table.ts',
  lines() {
    const rows = (isOwn: boolean) => FLAGS.filter(flag => (flag.own ?? false) === isOwn).map(flagRow);
    const [variable] = FLAGS.slice(0, 1).map(variableOf);
    return [
      '## Flags of flanneld',
      '',
      `Each flag is also an environment variable (\`${variable}\`). The command line takes precedence.`,
      '',
      ...table(['flag', 'default', 'meaning'], rows(false)),
      '',
      '## Flags of Ripstop',
      '',
      'Their environment variables begin with `RIPSTOP_`.',
      '',
      ...table(['flag', 'default', 'meaning'], rows(true)),
    ];
  },
};
