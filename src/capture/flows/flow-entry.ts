/** One flow: the sampled packets of one 5-tuple in one direction. Belongs to one slot of the table. */
export class FlowEntry {
  /** Number of the peer of the last packet, -1 for none: `FlowPeers`. */
  peer = -1;
  /** Forwarded packets and IP bytes. */
  packets = 0;
  bytes = 0;
  /** Dropped packets, and the verdict of the last one. */
  drops = 0;
  dropVerdict = -1;
  /** Retransmitted segments. */
  retransmissions = 0;
  /** Milliseconds since 1970-01-01 UTC. */
  first = 0;
  last = 0;
  /** Smoothed and minimum time from a segment of this flow to its acknowledgement, milliseconds; -1 if unknown. */
  rtt = -1;
  rttMin = -1;
  /** Flow of the opposite direction, undefined if there is none. */
  reverse: FlowEntry | undefined;

  /** Counts at the start of the last two rate intervals. */
  packetsMarked = 0;
  bytesMarked = 0;
  packetsBefore = 0;
  bytesBefore = 0;
  /** Counts at the previous line of the flow log. */
  packetsLogged = 0;
  bytesLogged = 0;
  dropsLogged = 0;
  retransmissionsLogged = 0;
  loggedUntil = 0;

  /** TCP: whether `next` is set, and the sequence number after the highest one seen. */
  isFollowed = false;
  next = 0;
  /** The latest gap in the sequence numbers, when it was seen, and whether there is one. */
  hasGap = false;
  gapStart = 0;
  gapEnd = 0;
  gapAt = 0;
  /** The segment of the RTT measurement: the number that acknowledges it, and when it passed. */
  isTimed = false;
  timedEnd = 0;
  timedAt = 0;
  /** FIN or RST was seen. */
  isEnding = false;

  /** Resets the entry for a new flow. */
  begin(nowMs: number): void {
    this.packets = this.bytes = this.drops = this.retransmissions = 0;
    this.peer = this.dropVerdict = this.rtt = this.rttMin = -1;
    this.first = this.last = this.loggedUntil = nowMs;
    this.packetsMarked = this.bytesMarked = this.packetsBefore = this.bytesBefore = 0;
    this.packetsLogged = this.bytesLogged = this.dropsLogged = this.retransmissionsLogged = 0;
    this.isFollowed = this.hasGap = this.isTimed = this.isEnding = false;
    this.reverse = undefined;
  }

  /** Starts a new rate interval. */
  mark(): void {
    this.packetsBefore = this.packetsMarked;
    this.bytesBefore = this.bytesMarked;
    this.packetsMarked = this.packets;
    this.bytesMarked = this.bytes;
  }
}
