/** Repairs since the agent started; each network adds to them. */
export interface RepairCounts {
  /** Changes of the kernel state that a comparison made, by kind. */
  readonly steps: Map<string, number>;
  rules: number;
  /** Comparisons that failed. */
  failures: number;
}

export const emptyRepairCounts = (): RepairCounts => ({ steps: new Map(), rules: 0, failures: 0 });
