/*
 * Error boundaries around the parts that run next to the data plane: listeners, streams, probes, exporters. An error in such a
 * part is reported and does not stop the data plane. Errors of the data plane and of the control loop do not belong here:
 * `uncaught.ts` ends the process in order.
 */

type Reporter = (part: string, error: unknown, count: number) => void;

const counts = new Map<string, number>();
let report: Reporter = () => {};

/** Sets the reporter of contained errors. @param reporter gets the part, the error, and the number of errors of the part */
export function reportContained(reporter: Reporter): void {
  report = reporter;
}

/** Contained errors since the process started, by part. */
export function containedErrors(): ReadonlyMap<string, number> {
  return counts;
}

/** Counts and reports an error that ends at the boundary of `part`. Never throws. */
export function contained(part: string, error: unknown): void {
  const count = (counts.get(part) ?? 0) + 1;
  counts.set(part, count);
  try {
    report(part, error, count);
  } catch {
    // A failing report must not become the next error; the error is counted.
  }
}

/** Runs `work` of a part; an error that it throws, or that its promise is rejected with, ends here. */
export function contain(part: string, work: () => unknown): void {
  void settled(part, work);
}

/** As `contain`; the promise is fulfilled when the work has ended, and is never rejected. */
export async function settled(part: string, work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    contained(part, error);
  }
}
