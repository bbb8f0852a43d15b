import { proseOfCode, proseOfPage } from './prose.ts';
import type { SourceFile } from './sources.ts';

/*
 * Words and phrases that a reader has to decode, with what to write instead. The list is no measure of good prose: it
 * keeps the private vocabulary of earlier texts from coming back.
 */

interface Rule {
  readonly pattern: RegExp;
  readonly write: string;
}

const rule = (pattern: RegExp, write: string): Rule => ({ pattern, write });

/** What a rate or a distribution refers to, in "one descriptor per frame". */
const UNIT =
  'batch|byte|call|command|connection|core|decision|direction|family|file|flow|folder|frame|header|interface|key|line|message|name|network|node|option|packet|page|peer|pod|point|process|queue|reason|record|ring|row|run|socket|subnet|test|thread|version|worker';

/** Words before the second article of a phrase that is no distribution: "a lease of a node", "a call has a name". */
const OTHER_LINK =
  'after|and|as|at|before|behind|between|by|call|costs|for|from|had|has|in|into|is|like|of|on|or|over|per|share|than|that|through|times|to|under|was|when|with|without';

/** What is no person. */
const COMPONENT =
  'addon|agent|client|collector|command|daemon|device|driver|file|flannel|frame|interface|kernel|key|lease|line|node|option|packet|peer|plugin|process|ripstop|router|rule|runtime|server|socket|store|table|test|thread|worker';

const RULES: readonly Rule[] = [
  rule(
    new RegExp(`\\b(?:an?|one) (?:[\\w-]+ )?(?!(?:${OTHER_LINK}) )[\\w-]+ an? (?:${UNIT})\\b`, 'gi'),
    '"one X per Y"',
  ),
  rule(/\b(?:an?) [\w-]+ each\b/gi, '"one X per Y", "each has one X"'),
  rule(
    /\b(?:former|next|previous|last|earlier|this|own|one|first|second) (?:life|lives)\b/gi,
    'previous run, next start, restart',
  ),
  rule(/\bsigns? of life\b/gi, 'heartbeat, liveness probe'),
  rule(/\b(?:dies|died|dying|die)\b/gi, 'is dropped, ends, exits'),
  rule(/\blives\b/gi, 'is in, exists, runs'),
  rule(/\bg(?:ive|ives|iving|iven|ave) way\b/gi, 'yields the CPU'),
  rule(/\b(?:mend|mends|mended|mending)\b/gi, 'repair, restore, fix'),
  rule(/\bheed(?:s|ed)?\b/gi, 'honour'),
  rule(/\bpetted\b/gi, 'notified'),
  rule(/\bbears? (?:its|their|the|a|an|no)\b/gi, 'carry, has'),
  rule(/\b(?:nobody|somebody)\b/gi, 'name the actor: no process, another process, an operator'),
  rule(/\bwhoever\b/gi, 'name the reader'),
  rule(
    new RegExp(`\\b(?:${COMPONENT})s? (?:speaks?|wants?|tells?|knows?|hears?)\\b`, 'gi'),
    'uses, needs, reports, has, receives',
  ),
  rule(/\blies? about\b/gi, 'contradicts'),
  rule(/\bstore is away\b/gi, 'the store is unreachable'),
  rule(
    /(?<=^|[.;:] |\n|\0)\s*Who [a-z]+s?\b(?![^.;]*\?)/g,
    'name the person or component: "A node that ..."',
  ),
  rule(
    /\b(?:and|so|but) who (?:has|is|finds|sees|reads|wants|writes|gives|needs)\b/gi,
    'name the person or component',
  ),
  rule(
    /(?<!\b(?:there|that|which|it) )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b|such\b|\d)[a-z]\w*/gi,
    '"is not a", "does not"',
  ),
  rule(/\bwhat becomes? of\b/gi, 'how X is handled'),
  rule(/\bthe own\b/gi, "its own, this node's"),
  rule(/\bbeside\b/gi, 'outside, next to, in addition to'),
  rule(/\b(?:anew|of late)\b/gi, 'again, recently'),
  rule(/\band else\b/gi, 'otherwise'),
  rule(/\bby hand\b/gi, 'manually, without a library'),
  rule(/\bsuper-?frames?\b/gi, 'GSO packet'),
  rule(/\b(?:open|unfinished) (?:inner )?checksums?\b/gi, 'partial checksum'),
  rule(/\bchecksums? (?:is|are|still|left|stays?|remains?) (?:still )?open\b/gi, 'partial checksum'),
  rule(
    /\b(?:slow room|in the (?:house|room)|own doors?|at the (?:gate|door))\b/gi,
    'a term of the field: slow path, project, source check',
  ),
  rule(/\b(?:sightings?|journeys?|twins?)\b/gi, 'observation, path of a packet, duplicate'),
  rule(/\b(?:its|their|the|a|packet's|frame's) fates?\b/gi, 'verdict, outcome'),
  rule(/\bgo(?:es)? on (?:with|where|as|without|after)\b/gi, 'continues'),
  rule(/\bpass(?:es|ed)? over:/gi, 'ignoring'),
  rule(
    /\bstands? (?:in(?! for)|at|on|there|above|below|behind|between)\b/gi,
    'is in, is at, is described in',
  ),
  rule(/\b(?:another|other) makers?\b/gi, 'third-party'),
  rule(/\btak(?:es?|ing) along\b/gi, 'is removed with, downloads'),
  rule(/\bheard of\b/gi, 'received, reported'),
  rule(/\bborrow(?:s|ed|ing)?\b/gi, 'provisional, uses saved state'),
  rule(/\bpatience\b/gi, 'timeout, limit'),
  rule(/\bwish(?:es|ed)?\b/gi, 'request, selector'),
  rule(/\blooks? before (?:it|they) sleeps?\b/gi, 'busy polling'),
];

const PAGES = /\.md$/;
const CODES = /\.(ts|mjs|c|cc|h)$/;

/** Every place of `file` that a rule forbids, as `path:line: found; write: instead`. */
export function languageFaults(file: SourceFile): string[] {
  const { path, text } = file;
  const prose = PAGES.test(path) ? proseOfPage(text) : CODES.test(path) ? proseOfCode(text) : text;
  const flat = prose.replace(/\s/g, ' ');
  return RULES.flatMap(({ pattern, write }) =>
    [...flat.matchAll(spaced(pattern))]
      .filter(match => !isFileName(flat, match))
      .map(({ index, 0: found }) => {
        const line = text.slice(0, index + found.length - found.trimStart().length).split('\n').length;
        return `${path}:${line}: "${found.trim().replace(/\s+/g, ' ')}"; write: ${write}`;
      }),
  );
}

/** The name of a module in an import or a reference, such as `./wish.ts`. */
function isFileName(text: string, { index, 0: found }: RegExpExecArray): boolean {
  return /[/-]/.test(text[index - 1] ?? '') || /^[-.]\w/.test(text.slice(index + found.length));
}

/** A blank of a pattern stands for any number of blanks, since a phrase may be broken over two lines. */
function spaced({ source, flags }: RegExp): RegExp {
  return new RegExp(source.replaceAll(' ', ' +'), flags);
}
