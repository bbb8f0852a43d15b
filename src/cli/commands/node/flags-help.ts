import { Help } from 'commander';
import { FLAG_GROUPS, FLAGS } from '../../../agent/config/flag-table.ts';
import type { FlagSet } from '../../../agent/config/flags.ts';

const COLUMNS = 80;

/** Help of the flags that a command takes, by group, with their defaults. */
export function describeFlags({ defaults, without }: FlagSet): string {
  const flags = FLAGS.filter(({ group, inert }) => inert === undefined && !without.includes(group));
  const width = Math.max(...flags.map(({ name }) => name.length)) + 2;
  const help = new Help();
  help.helpWidth = COLUMNS;
  const sections = Object.entries(FLAG_GROUPS).map(([group, heading]) => {
    const items = flags
      .filter(flag => flag.group === group)
      .map(({ name, doc, fallback }) => {
        const value = String(defaults[name] ?? fallback);
        return help.formatItem(`--${name}`, width, value === '' ? doc : `${doc} [${value}]`, help);
      });
    return items.length === 0 ? '' : `${heading}:\n${items.join('\n')}\n`;
  });
  return sections.filter(section => section !== '').join('\n');
}
