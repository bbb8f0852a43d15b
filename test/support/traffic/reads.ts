/** Wrapped objects and how often a property of any of them was read. */
export interface CountedReads<T extends object> {
  readonly wrapped: T[];
  count(): number;
}

/**
 * Counts reads of properties: what an algorithm costs, without a clock. One that compares each object with each other
 * reads in the square of their number.
 */
export function countReads<T extends object>(objects: readonly T[]): CountedReads<T> {
  let reads = 0;
  const handler: ProxyHandler<T> = {
    get: (target, property, receiver) => {
      reads++;
      return Reflect.get(target, property, receiver);
    },
  };
  return { wrapped: objects.map(one => new Proxy(one, handler)), count: () => reads };
}
