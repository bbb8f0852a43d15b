/** A source of time that tests can replace. Milliseconds, monotonic, no fixed origin. */
export type Clock = () => number;

export const monotonicMs: Clock = () => performance.now();
