import { basename } from 'node:path';
import type { SourceFile } from '../../checks/sources.ts';
import { type GeneratedPart, table } from './part.ts';

export interface Decision {
  readonly path: string;
  /** Four digits. */
  readonly number: string;
  readonly title: string;
  readonly status: string;
  /** YYYY-MM-DD. */
  readonly date: string;
}

const STATUS = 'accepted|rejected|superseded by \\[\\d{4}\\]\\([-\\w]+\\.md\\)';
const HEAD = new RegExp(
  `^# (?<number>\\d{4}): (?<title>.+)\\n\\nStatus: (?<status>${STATUS}) · (?<date>\\d{4}-\\d\\d-\\d\\d)\\n`,
);

/** The head of a decision. @throws Error when the file does not begin with number, title, status and date */
export function readDecision({ path, text }: SourceFile): Decision {
  const head = HEAD.exec(text)?.groups;
  if (!head) throw new Error(`${path} must begin with "# NNNN: title" and "Status: accepted · YYYY-MM-DD"`);
  const { number = '', title = '', status = '', date = '' } = head;
  if (!basename(path).startsWith(`${number}-`)) throw new Error(`${path} has the number ${number}`);
  return { path, number, title, status, date };
}

/** The index of docs/decisions/README.md. */
export function index(decisions: readonly Decision[]): GeneratedPart {
  return {
    sources: 'the decisions',
    lines: () =>
      table(
        ['number', 'decision', 'status', 'date'],
        decisions.map(({ path, number, title, status, date }) => [
          number,
          `[${title}](${basename(path)})`,
          status,
          date,
        ]),
      ),
  };
}
