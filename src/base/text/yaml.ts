import { LineCounter, parseDocument } from 'yaml';
import { messageOf, RipstopError } from '../errors.ts';

/**
 * The value of a YAML text; an empty one is `undefined`. Reads JSON too.
 * @throws RipstopError ECONFIG with line and column of what is not YAML, or for aliases that would take all memory
 */
export function parseYaml(source: string): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(source, { lineCounter, prettyErrors: false });
  const [trouble] = document.errors;
  if (trouble) {
    const { line, col } = lineCounter.linePos(trouble.pos[0]);
    throw new RipstopError('ECONFIG', `line ${line}, column ${col}: ${trouble.message}`);
  }
  try {
    return document.toJS() ?? undefined;
  } catch (error) {
    // An alias without an anchor, or too many of them.
    throw new RipstopError('ECONFIG', messageOf(error));
  }
}
