/*
 * Positions of the node and its peers on the map, in pixels. There are three layouts: the node on the left and its peers
 * in a column; with many peers the node between two columns; on a narrow screen a single column.
 */

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Thread {
  /** Path of the two strands of a link. */
  readonly out: string;
  readonly back: string;
  /** Position of its figures; undefined if they are in the box of the peer. */
  readonly label: { readonly x: number; readonly y: number; readonly side: 'left' | 'right' } | undefined;
}

export interface MapLayout {
  readonly height: number;
  readonly hub: Box;
  readonly peers: readonly Box[];
  readonly threads: readonly Thread[];
}

const HUB = { width: 210, height: 92 };
const PEER = { width: 230, height: 76 };
/** Distance between the middles of two peers. */
const PITCH = 96;
const NARROW = 620;
const TWO_SIDED = 980;
/** Distance of the two strands from the middle of their link. */
const STRAND = 3.5;
/** Length of the horizontal part before a peer, for the figures. */
const LABEL = 120;
/** Maximum number of peers in one column. */
const COLUMN_MAX = 7;

/** Maximum number of peers on a map of this width. */
export function capacity(width: number): number {
  return width >= TWO_SIDED ? COLUMN_MAX * 2 : COLUMN_MAX;
}

export function layOut(width: number, count: number): MapLayout {
  if (width < NARROW) return stacked(width, count);
  const twoSided = count > COLUMN_MAX && width >= TWO_SIDED;
  const right = twoSided ? Math.ceil(count / 2) : count;
  const height = Math.max(HUB.height, right * PITCH) + 24;
  const hub: Box = { ...HUB, x: twoSided ? (width - HUB.width) / 2 : 0, y: (height - HUB.height) / 2 };
  const column = (x: number, length: number): Box[] =>
    Array.from({ length }, (_, at) => ({
      ...PEER,
      x,
      y: height / 2 + (at - (length - 1) / 2) * PITCH - PEER.height / 2,
    }));
  const peers = [...column(width - PEER.width, right), ...column(0, count - right)];
  const threads = peers.map((peer, at) => curve(hub, peer, at < right ? 'right' : 'left'));
  return { height, hub, peers, threads };
}

function curve(hub: Box, peer: Box, side: 'left' | 'right'): Thread {
  const from = side === 'right' ? hub.x + hub.width : hub.x;
  const to = side === 'right' ? peer.x : peer.x + peer.width;
  const spread = hub.height * 0.25;
  const middle = hub.y + hub.height / 2;
  const end = peer.y + peer.height / 2;
  // The links start at different heights, so that they do not overlap.
  const start = middle + Math.max(-spread, Math.min(spread, (end - middle) * 0.2));
  const level = side === 'right' ? to - LABEL : to + LABEL;
  const bend = (from + level) / 2;
  const strand = (shift: number) =>
    `M ${from} ${start + shift} C ${bend} ${start + shift}, ${bend} ${end + shift}, ${level} ${end + shift} H ${to}`;
  const x = side === 'right' ? to - 14 : to + 14;
  return { out: strand(-STRAND), back: strand(STRAND), label: { x, y: end, side } };
}

function stacked(width: number, count: number): MapLayout {
  const spine = 18;
  const pitch = 112;
  const hub: Box = { x: 0, y: 0, width, height: HUB.height };
  const peers = Array.from({ length: count }, (_, at) => ({
    x: 40,
    y: HUB.height + 20 + at * pitch,
    width: width - 40,
    height: pitch - 16,
  }));
  const threads = peers.map(({ x, y, height }) => {
    const end = y + height / 2;
    const strand = (shift: number) =>
      `M ${spine + shift} ${hub.height} V ${end - 12} Q ${spine + shift} ${end - shift}, ${spine + 12} ${end - shift} H ${x}`;
    return { out: strand(STRAND), back: strand(-STRAND), label: undefined };
  });
  return { height: HUB.height + 20 + count * pitch, hub, peers, threads };
}
