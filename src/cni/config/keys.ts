import { parseJson } from '../../base/schema.ts';

/*
 * Keys of a configuration, matched as the reference plugins match them, which use Go's encoding/json: a key has its name in
 * any case, of equal keys the last one counts, and two objects of one name are one object with the keys of both.
 */

type Json = Record<string, unknown>;

/** Objects of which a key was given more than once, with these keys. */
const repeated = new WeakMap<object, ReadonlySet<string>>();

/** The keys, as they were written, that an object of a configuration has more than once in the text. */
export function repeatedKeys(object: object): readonly string[] {
  return [...(repeated.get(object) ?? [])];
}

/** The value of a JSON text; its objects have their keys in the order of the text. @throws RipstopError ECONFIG */
export function parseConfiguration(text: string, where: string): unknown {
  const value = parseJson(text, where);
  // A configuration may have 16 MB, and the agent has one thread: objects are built again only where a key is repeated.
  let inText = 0;
  forEachKey(text, () => inText++);
  return inText === countKeys(value) ? value : withoutNumbers(parseJson(withNumbers(text), where));
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = Array.isArray(value) ? 0 : Object.keys(value).length;
  for (const one of Object.values(value)) count += countKeys(one);
  return count;
}

/**
 * The object with each key that is one of `names` in another case under that name; other keys are unchanged. Of names that differ
 * only in case the first one gets the keys that are equal to none of them.
 */
export function withNames(names: readonly string[], source: Json): Json {
  const byFolded = new Map(names.map((name): [string, string] => [fold(name), name]).reverse());
  const nameOf = (key: string) => (names.includes(key) ? key : (byFolded.get(fold(key)) ?? key));
  return gather(Object.entries(source).map(([key, value]) => [nameOf(key), value]));
}

/** Unicode's simple case folding, as far as letters of ASCII are concerned: the long s is an s. */
const fold = (key: string) => key.toLowerCase().replaceAll('ſ', 's');

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A valid JSON text whose keys are all different, because each begins with its number and a colon. */
function withNumbers(text: string): string {
  const parts: string[] = [];
  let done = 0;
  forEachKey(text, open => {
    parts.push(text.slice(done, open + 1), `${parts.length}:`);
    done = open + 1;
  });
  return parts.join('') + text.slice(done);
}

/** Calls `take` with the index of the quote that each key of a valid JSON text begins with. */
function forEachKey(text: string, take: (open: number) => void): void {
  for (let open = text.indexOf('"'); open >= 0; ) {
    let close = text.indexOf('"', open + 1);
    while (isEscaped(text, close)) close = text.indexOf('"', close + 1);
    let next = close + 1;
    while (' \t\r\n'.includes(text[next] ?? 'end')) next++;
    if (text[next] === ':') take(open);
    open = text.indexOf('"', next);
  }
}

/** True for a character of a string that an odd number of backslashes precedes. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text[first - 1] === '\\') first--;
  return (at - first) % 2 === 1;
}

function withoutNumbers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNumbers);
  if (!isObject(value)) return value;
  return gather(
    Object.entries(value).map(([key, one]) => [key.slice(key.indexOf(':') + 1), withoutNumbers(one)]),
  );
}

/** An object of keys in the order of the text, of which some may be equal. */
function gather(members: Iterable<[string, unknown]>, before: Iterable<string> = []): Json {
  const found = new Map<string, unknown>();
  const twice = new Set(before);
  for (const [key, value] of members) {
    if (found.has(key)) twice.add(key);
    const whole = combine(found.get(key), value);
    found.delete(key);
    found.set(key, whole);
  }
  const object = Object.fromEntries(found);
  if (twice.size > 0) repeated.set(object, twice);
  return object;
}

function combine(former: unknown, latter: unknown): unknown {
  if (!isObject(former) || !isObject(latter)) return latter;
  const members = [...Object.entries(former), ...Object.entries(latter)];
  return gather(members, [...repeatedKeys(former), ...repeatedKeys(latter)]);
}
