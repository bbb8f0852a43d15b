import type { Random } from '../../fixtures/random.ts';
import { bytesOf, textOf } from './campaign.ts';

/** Values that a reader of JSON or YAML must expect in any place. */
const ODD: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  ' ',
  '\u0000\u001b[31m',
  '\ud800',
  '__proto__',
  'constructor',
  '0.0.0.0',
  '255.255.255.255/32',
  '::/0',
  'fe80::1%eth0',
  '1.2.3.4/33',
  'a'.repeat(3000),
  [],
  {},
  [[[[]]]],
  { __proto__: null, toString: 1 },
];

/** A copy of a JSON text with one to four values replaced, removed, doubled or moved under another key. */
export function alterJson(random: Random, bytes: Uint8Array): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes));
  } catch {
    return alterText(random, bytes);
  }
  for (let change = random.between(1, 4); change > 0; change--) value = altered(random, value);
  return bytesOf(JSON.stringify(value) ?? 'null');
}

function altered(random: Random, value: unknown): unknown {
  // Deeper with each chance, so that leaves are changed as often as whole branches.
  if (typeof value !== 'object' || value === null || random.chance(0.15)) return random.pick(ODD);
  if (Array.isArray(value)) return alteredList(random, value);
  const entries = Object.entries(value);
  const at = random.between(0, Math.max(0, entries.length - 1));
  const [key, inner] = entries[at] ?? ['x', null];
  switch (random.between(0, 9)) {
    case 0:
      entries.splice(at, 1);
      break;
    case 1:
      entries.push([random.pick(['__proto__', 'constructor', 'x', '']), inner]);
      break;
    case 2:
      entries[at] = [`${key}x`, inner];
      break;
    default:
      entries[at] = [key, altered(random, inner)];
  }
  // `fromEntries` defines an own `__proto__`, as JSON.parse does.
  return Object.fromEntries(entries);
}

function alteredList(random: Random, list: readonly unknown[]): unknown[] {
  const copy = [...list];
  const at = random.between(0, Math.max(0, copy.length - 1));
  switch (copy.length === 0 ? 0 : random.between(0, 5)) {
    case 0:
      copy.splice(at, 0, random.pick(ODD));
      break;
    case 1:
      copy.push(...list);
      break;
    case 2:
      copy.splice(at, 1);
      break;
    default:
      copy[at] = altered(random, copy[at]);
  }
  return copy;
}

/** Pieces that mean something in the texts that are read here. */
const PIECES = [
  '\n',
  '\r\n',
  '=',
  ':',
  '/',
  ',',
  '"',
  "'",
  '#',
  ' ',
  '\t',
  '-',
  '&',
  '\0',
  '{',
  '}',
  '[',
  ']',
  '0',
  '%',
];

/** A copy of a text with lines and pieces moved, doubled, removed and put in. */
export function alterText(random: Random, bytes: Uint8Array): Uint8Array {
  let text = textOf(bytes);
  for (let change = random.between(1, 6); change > 0; change--) {
    const at = random.between(0, text.length);
    const to = Math.min(text.length, at + random.between(0, 20));
    switch (random.between(0, 4)) {
      case 0:
        text = text.slice(0, at) + random.pick(PIECES) + text.slice(at);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(to);
        break;
      case 2:
        text = text.slice(0, at) + text.slice(at, to).repeat(random.between(2, 40)) + text.slice(to);
        break;
      case 3:
        text = text.slice(0, at) + (JSON.stringify(random.pick(ODD)) ?? '') + text.slice(to);
        break;
      default: {
        const lines = text.split('\n');
        lines.splice(random.between(0, lines.length), 0, random.pick(lines));
        text = lines.join('\n');
      }
    }
  }
  return bytesOf(text.slice(0, 100_000));
}
