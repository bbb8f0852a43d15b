import type { Random } from '../../fixtures/random.ts';

/** Values that lie at the edges of fields. */
const EDGES = [0, 1, 4, 5, 6, 7, 8, 15, 16, 44, 58, 60, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xff];

/** A copy of `bytes` with one to eight changes: flipped bits, edge values, cut or grown ends, moved pieces. */
export function mutate(random: Random, bytes: Uint8Array): Uint8Array {
  let result = bytes.slice();
  for (let change = random.between(1, 8); change > 0; change--) {
    const at = random.between(0, Math.max(0, result.length - 1));
    switch (random.between(0, 5)) {
      case 0:
        if (result.length > 0) result[at]! ^= 1 << random.between(0, 7);
        break;
      case 1:
        if (result.length > 0) result[at] = random.pick(EDGES);
        break;
      case 2:
        if (result.length > 0) result[at] = random.between(0, 255);
        break;
      case 3:
        result = result.slice(0, at);
        break;
      case 4:
        result = Uint8Array.of(...result, ...random.bytes(random.between(1, 24)));
        break;
      default:
        result.copyWithin(at, random.between(0, result.length), random.between(0, result.length));
    }
  }
  return result;
}
