/** The text of one name; each field is one or more full sentences. */
export interface ExplanationText {
  /** What it means. */
  readonly meaning: string;
  /** Why it happens. */
  readonly cause: string;
  /** How to see it: commands that show the evidence. */
  readonly evidence: string;
  /** What to do about it. */
  readonly remedy: string;
}
