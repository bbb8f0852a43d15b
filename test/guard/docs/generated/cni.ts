import type { Field, Fields } from '../../../../src/base/schema.ts';
import { loadPlugin, PLUGIN_NAMES } from '../../../../src/cni/plugins.ts';
import type { PluginDocs } from '../../../../src/cni/skel/plugin.ts';
import { type GeneratedPart, table } from './part.ts';

/** Keys with those of the objects in them, by path. */
function flatten(fields: Fields): [string, Field][] {
  return Object.entries(fields).flatMap(([path, field]): [string, Field][] => {
    if (!field.fields) return [[path, field]];
    const inner = field.type.startsWith('list of ') ? `${path}[]` : path;
    const members = Object.entries(field.fields).map(([key, one]): [string, Field] => [
      `${inner}.${key}`,
      one,
    ]);
    return [[path, field], ...flatten(Object.fromEntries(members))];
  });
}

function fallbackOf({ required, fallback }: Field): string {
  if (required) return 'required';
  return fallback === undefined || fallback === '' ? '' : `\`${String(fallback)}\``;
}

function keyTable(keys: Fields): string[] {
  const rows = flatten(keys).map(([path, field]) => [
    `\`${path}\``,
    field.type.replace(/^ \| /, '') + (field.unit ? ` (${field.unit})` : ''),
    fallbackOf(field),
    field.doc,
  ]);
  return rows.length === 0 ? ['No keys.'] : table(['key', 'value', 'default', 'meaning'], rows);
}

function section(name: string, { keys, differences }: PluginDocs): string[] {
  const list =
    differences.length === 0 ? [] : ['', 'Differences:', '', ...differences.map(one => `- ${one}`)];
  return [`### \`${name}\``, '', ...keyTable(keys), ...list, ''];
}

/** Keys and differences of each plugin, for docs/reference/cni.md. @throws Error for a plugin that has none */
export async function pluginKeys(): Promise<GeneratedPart> {
  const sections: string[] = [];
  for (const name of [...PLUGIN_NAMES].sort()) {
    const docs = (await loadPlugin(name))?.docs;
    if (!docs) throw new Error(`the plugin ${name} has no docs (PluginDocs of src/cni/skel/plugin.ts)`);
    sections.push(...section(name, docs));
  }
  return { sources: 'the plugins of src/cni/plugins.ts', lines: () => sections.slice(0, -1) };
}
