import type { Field } from '../../base/schema.ts';
import type { Report } from '../../diagnose/report/bundle.ts';
import { KERNEL_FILES } from '../../diagnose/report/kernel-shapes.ts';
import { ANSWERS, type Answer, type AnswerPath } from '../answers.ts';

/** Answers of the agent in a report, with the name of the file of each. */
export const ANSWER_FILES = {
  '/status': 'agent/status.json',
  '/peers': 'agent/peers.json',
  '/routes': 'agent/routes.json',
  '/leases': 'agent/leases.json',
  '/pods': 'agent/pods.json',
  '/pending': 'agent/pending.json',
  '/node': 'agent/node.json',
  '/audit': 'agent/audit.json',
  '/drops': 'agent/drops.json',
  '/doctor': 'agent/doctor.json',
  '/log': 'agent/log.json',
} as const satisfies Partial<Record<AnswerPath, string>>;

/** The drops at the start; those at the end are in the file of the answer. */
export const DROPS_BEFORE = 'agent/drops-start.json';

export type ReportPath = keyof typeof ANSWER_FILES;

/** The field of each JSON file, by which it is written and read. */
export const FILE_FIELDS: Readonly<Record<string, Field>> = {
  ...Object.fromEntries(
    Object.entries(ANSWER_FILES).map(([path, file]) => [file, ANSWERS[path as ReportPath] as Field]),
  ),
  [DROPS_BEFORE]: ANSWERS['/drops'] as Field,
  ...(KERNEL_FILES as unknown as Readonly<Record<string, Field>>),
};

/** The answer of the agent in a report. @throws RipstopError EREPORT */
export function answerOf<P extends ReportPath>(report: Report, path: P): Answer<P> {
  return report.read(ANSWER_FILES[path], ANSWERS[path] as Field) as Answer<P>;
}
