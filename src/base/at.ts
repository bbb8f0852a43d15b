/** The element at an index that exists by construction, for code off the hot path. @throws RangeError for a bug */
export function elementAt<T>(list: ArrayLike<T>, index: number): T {
  const element = list[index];
  if (element === undefined) throw new RangeError(`bug: no element ${index} of ${list.length}`);
  return element;
}
