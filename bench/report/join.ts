import { distinct } from './rows.ts';
import type { BenchFile } from './samples.ts';

/** `file`, and from `earlier` the suites that it does not have. Where they come from is kept. */
export function joined(file: BenchFile, earlier: BenchFile): BenchFile {
  const had = new Set(distinct(file.samples, sample => sample.suite));
  const added = earlier.samples.filter(({ suite }) => !had.has(suite));
  if (added.length === 0) return file;
  const { commit, ripstop } = earlier.versions;
  const from = {
    suites: distinct(added, ({ suite }) => suite),
    began: earlier.began,
    commit: commit ?? ripstop,
  };
  return {
    ...file,
    labels: { ...earlier.labels, ...file.labels },
    samples: [...file.samples, ...added],
    missing: [...file.missing, ...earlier.missing.filter(gap => !had.has(gap.suite))],
    joined: [...(file.joined ?? []), from],
  };
}
