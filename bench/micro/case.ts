/** One thing whose time is taken. */
export interface Case {
  name: string;
  /** Size of the table or of the data; '' where there is none. */
  size: string;
  /** Operations in one call of `run`. */
  operations: number;
  /** Returns something that depends on all its work, so that no compiler leaves the work out. */
  run(): number;
}
