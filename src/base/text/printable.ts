/**
 * Control characters, and those that change the direction or the line of the text around them: in a name that another node
 * chose they could move the cursor of a terminal, colour it, or imitate another row.
 */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** The text with control characters as JSON escapes them. */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A JSON value with all its texts printable. */
export function printableValue<T>(value: T): T {
  if (typeof value === 'string') return printable(value) as T;
  if (Array.isArray(value)) return value.map(printableValue) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, part]) => [printable(key), printableValue(part)]);
  return Object.fromEntries(entries) as T;
}

/** A JSON text with the control characters escaped that JSON allows: the value stays the same. */
export function printableJson(json: string): string {
  return json.replaceAll(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, printable);
}
