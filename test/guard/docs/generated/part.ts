/** A part of a page that is generated: what marks its beginning, and its text. */
export interface GeneratedPart {
  /** Names the sources in the mark. */
  readonly sources: string;
  readonly lines: () => readonly string[];
}

const END = '<!-- end of the generated part -->';

function beginOf({ sources }: GeneratedPart): string {
  return `<!-- generated from ${sources}; UPDATE_DOCS=1 npm test writes it -->`;
}

/** The part with its marks, as it is in the page. */
export function rendered(part: GeneratedPart): string {
  return [beginOf(part), '', ...part.lines(), '', END].join('\n');
}

/** `page` with the generated part replaced. Throws when the page has no marks for it. */
export function withGenerated(page: string, part: GeneratedPart): string {
  const begin = page.indexOf(beginOf(part));
  const end = page.indexOf(END, begin);
  if (begin === -1 || end === -1) throw new Error(`the page has lost its marks: ${beginOf(part)} ... ${END}`);
  return page.slice(0, begin) + rendered(part) + page.slice(end + END.length);
}

function row(cells: readonly string[]): string {
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|').replaceAll('<', '&lt;')).join(' | ')} |`;
}

/** A table of Markdown; `|` and `<` of the cells are escaped. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [row(head), row(head.map(() => '---')), ...rows.map(row)];
}
