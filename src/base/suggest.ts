/** Damerau-Levenshtein distance (adjacent transposition counts 1). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1, left = i; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      const [diagonal = 0, above = 0] = last.slice(j - 1, j + 1);
      left = Math.min(above + 1, left + 1, diagonal + (same ? 0 : 1));
      const swapped = beforeLast[j - 2];
      if (swapped !== undefined && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        left = Math.min(left, swapped + 1);
      row.push(left);
    }
    [beforeLast, last] = [last, row];
  }
  return last.at(-1) ?? 0;
}

/** Longest word that is compared with known ones: the cost grows with its length, and a longer one is not a typing error. */
const WORD_MAX = 64;

/** The known word nearest to `word`, when it is near enough to be a slip of the keyboard; else undefined. */
export function suggest(word: string, known: readonly string[]): string | undefined {
  if (word.length > WORD_MAX) return undefined;
  const folded = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const d = distance(folded, candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** A hint for an unknown key: the known one that is similar, otherwise all. */
export function keyHint(key: string, known: readonly string[]): string {
  const near = suggest(key, known);
  return near ? `did you mean "${near}"?` : `known keys: ${known.join(', ')}`;
}
