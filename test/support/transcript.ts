import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from '../../bench/lab/tool.ts';

interface Asserter {
  equal(found: string, wanted: string, message: string): unknown;
}

/**
 * What a page shows of runs: each block of code behind `<!-- run: NAME -->` is held to what a test saw now, but for
 * numbers and the order of lines. UPDATE_DOCS=1 writes it instead.
 */
export class Transcript {
  readonly #path: string;

  /** @param page from the top of the tree */
  constructor(page: string) {
    this.#path = join(CHECKOUT, page);
  }

  /** @param shown prompt, command and output, as a terminal has them */
  hold(t: Asserter, name: string, shown: string): void {
    const page = readFileSync(this.#path, 'utf8');
    const block = new RegExp(`(<!-- run: ${name} -->\n\`\`\`\n)([\\s\\S]*?)(\`\`\`\n)`);
    const [, , former] = block.exec(page) ?? [];
    if (former === undefined) throw new Error(`${this.#path} has no place for "${name}"`);
    const text = `${shown.trimEnd()}\n`;
    if (process.env.UPDATE_DOCS === '1')
      writeFileSync(
        this.#path,
        page.replace(block, (_, head, _old, tail) => head + text + tail),
      );
    else t.equal(shapeOf(former), shapeOf(text), `${name}: as the page shows it; UPDATE_DOCS=1 writes it`);
  }
}

/** The words of an output without what differs from run to run. */
function shapeOf(text: string): string {
  return text
    .replace(/\b[\da-f]{2}(:[\da-f]{2}){5}\b/g, 'MAC')
    .replace(/, neighbour \w+/g, '')
    .replace(/\d[\d.,:]*[kMG]?/g, '0')
    .replace(/[^\S\n]+/g, ' ')
    .split('\n')
    .sort()
    .join('\n');
}
