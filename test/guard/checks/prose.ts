/*
 * The prose of a source file: its comments and string literals. All other characters become blanks or NUL, and every
 * character keeps its index, so that a match can be traced to its line.
 */

/** Stands for code: no pattern matches across it. */
const CODE = '\0';
/** A `/` after one of these characters begins a regular expression, after anything else it divides. */
const BEFORE_PATTERN = /[(,=:[!&|?{};+\n]\s*$|\b(return|case|typeof)\s*$/;

/**
 * Comments and string literals of TypeScript, JavaScript, C or C++. Adjacent line comments and concatenated literals
 * are joined by blanks, because a phrase may be broken over two lines.
 */
export function proseOfCode(text: string): string {
  const out = new Array<string>(text.length).fill(CODE);
  const keep = (from: number, to: number) => {
    for (let i = from; i < to; i++) out[i] = /\s/.test(text[i]!) ? ' ' : text[i]!;
  };
  /** Brace depths at which a `${` of a template was opened. */
  const holes: number[] = [];
  let depth = 0;
  let at = 0;

  const template = (from: number): number => {
    let i = from;
    for (; i < text.length && text[i] !== '`'; i++) {
      if (text[i] === '\\') i++;
      else if (text.startsWith('${', i)) {
        keep(from, i);
        holes.push(depth++);
        return i + 2;
      }
    }
    keep(from, i);
    return i + 1;
  };

  while (at < text.length) {
    const two = text.slice(at, at + 2);
    const char = text[at]!;
    if (two === '//' || two === '/*') {
      const end = text.indexOf(two === '//' ? '\n' : '*/', at);
      const to = end === -1 ? text.length : end;
      keep(at + 2, to);
      at = two === '//' ? to : to + 2;
    } else if (char === '`') at = template(at + 1);
    else if (char === '"' || (char === "'" && !/\d/.test(text[at - 1] ?? ''))) {
      let i = at + 1;
      while (i < text.length && text[i] !== char && text[i] !== '\n') i += text[i] === '\\' ? 2 : 1;
      keep(at + 1, i);
      at = i + 1;
    } else if (char === '/' && BEFORE_PATTERN.test(text.slice(Math.max(0, at - 40), at))) {
      let inClass = false;
      let i = at + 1;
      for (; i < text.length && text[i] !== '\n' && (inClass || text[i] !== '/'); i++) {
        if (text[i] === '\\') i++;
        else if (text[i] === '[') inClass = true;
        else if (text[i] === ']') inClass = false;
      }
      at = i + 1;
    } else {
      if (char === '{') depth++;
      if (char === '}' && --depth === holes.at(-1)) {
        holes.pop();
        at = template(at + 1);
      } else at++;
    }
  }
  return joined(text, out);
}

/** Turns what separates two lines of one comment or two parts of one string into blanks. */
function joined(text: string, out: string[]): string {
  const blank = (from: number, to: number) => out.fill(' ', from, to);
  for (const { index, 0: seam } of text.matchAll(/\n\s*(\/\/+|\*(?!\/))/g)) blank(index, index + seam.length);
  for (const { index, 0: seam } of text.matchAll(/['"`]\s*\+?\s*\n\s*['"`]/g))
    blank(index, index + seam.length);
  return out.join('');
}

/** A Markdown page without its code, its link targets and its comments. A blank line and a heading end a phrase. */
export function proseOfPage(text: string): string {
  const hide = (part: string) => part.replace(/[^\n]/g, CODE);
  return text
    .replace(/^```[\s\S]*?^```/gm, hide)
    .replace(/`[^`\n]*`/g, hide)
    .replace(/<!--[\s\S]*?-->/g, hide)
    .replace(/\]\([^)]*\)/g, hide)
    .replace(/^#.*$|\n(?=\s*\n|#|\s*[-*|] )/gm, line => line.replace(/\n/g, CODE))
    .replace(/\n/g, ' ');
}
