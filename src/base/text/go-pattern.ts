import { RE2JS, RE2JSSyntaxException } from 're2js';
import { fail } from '../schema.ts';

/**
 * A pattern in the syntax of Go's package regexp (RE2), as the programs that Ripstop replaces take it. It may match any part of a text.
 * @param where flag, variable or file of the pattern, for the error
 * @throws RipstopError ECONFIG
 */
export function goPattern(pattern: string, where: string): (text: string) => boolean {
  try {
    const compiled = RE2JS.compile(pattern);
    return text => compiled.matcher(text).find();
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error;
    return fail(
      where,
      `${JSON.stringify(pattern)} is not a pattern: ${error.message}`,
      "it takes Go's syntax (RE2), which has no lookaround and no backreferences",
    );
  }
}
