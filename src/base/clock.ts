/** Where time comes from, so that tests can hand in their own. Milliseconds, monotonic, no fixed origin. */
export type Clock = () => number;

export const monotonicMs: Clock = () => performance.now();
