import { distinct } from './rows.ts';
import type { BenchFile, Missing, Sample } from './samples.ts';

/** What is measured in one go: a suite; end to end, a condition of the underlay, which is all that its figures compare within. */
const partOf = ({ suite, condition }: Sample | Missing) =>
  suite === 'e2e' && condition !== '' ? `${suite} ${condition}` : suite;

/** `file`, and from `earlier` the parts that it does not have. Where they come from is kept. */
export function joined(file: BenchFile, earlier: BenchFile): BenchFile {
  const had = new Set(distinct(file.samples, partOf));
  const added = earlier.samples.filter(sample => !had.has(partOf(sample)));
  if (added.length === 0) return file;
  const { commit, ripstop } = earlier.versions;
  const from = {
    suites: distinct(added, partOf),
    began: earlier.began,
    commit: commit ?? ripstop,
  };
  const knows = (gap: Missing) => file.missing.some(own => same(own, gap)) || had.has(partOf(gap));
  return {
    ...file,
    labels: { ...earlier.labels, ...file.labels },
    sealed: [...new Set([...(earlier.sealed ?? []), ...(file.sealed ?? [])])],
    rivals: { ...earlier.rivals, ...file.rivals },
    samples: [...file.samples, ...added],
    missing: [...file.missing, ...earlier.missing.filter(gap => !knows(gap))],
    joined: [...(file.joined ?? []), from],
  };
}

const same = (a: Missing, b: Missing) =>
  a.suite === b.suite && a.contender === b.contender && a.condition === b.condition && a.figure === b.figure;
