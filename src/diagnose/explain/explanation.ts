import { ALERTS } from './alerts.ts';
import { CNI_CODES } from './cni-codes.ts';
import { ERROR_CODES } from './error-codes.ts';
import { FINDINGS } from './findings.ts';
import type { ExplanationText } from './text.ts';
import { VERDICT_TEXTS } from './verdicts.ts';

/** Kinds of names that Ripstop shows to a user, in the order of the reference page. */
export const KINDS = ['verdict', 'doctor finding', 'alert', 'error code', 'CNI error code'] as const;

export interface Explanation extends ExplanationText {
  /** As counters, findings, alerts and errors show it: `no-peer`, `RipstopDrops`, `EINUSE`, `cni-7`. */
  readonly name: string;
  readonly kind: (typeof KINDS)[number];
}

const TEXTS: Readonly<Record<Explanation['kind'], Readonly<Record<string, ExplanationText>>>> = {
  verdict: VERDICT_TEXTS,
  'doctor finding': FINDINGS,
  alert: ALERTS,
  'error code': ERROR_CODES,
  'CNI error code': CNI_CODES,
};

/** Every name that has a text, by kind; no name has two kinds. */
export const EXPLANATIONS: readonly Explanation[] = KINDS.flatMap(kind =>
  Object.entries(TEXTS[kind]).map(([name, { meaning, cause, evidence, remedy }]) => ({
    ...{ name, kind, meaning, cause, evidence, remedy },
  })),
);

/** The text of `name`, whatever the case of its letters. */
export function explain(name: string): Explanation | undefined {
  const wanted = name.toLowerCase();
  return EXPLANATIONS.find(explanation => explanation.name.toLowerCase() === wanted);
}

/** Names that a person may have meant: those that contain `name` or a word of it. */
export function similarNames(name: string): string[] {
  const words = name
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(word => word.length > 2);
  return EXPLANATIONS.flatMap(explanation => {
    const known = explanation.name.toLowerCase();
    return words.some(word => known.includes(word)) ? [explanation.name] : [];
  });
}
