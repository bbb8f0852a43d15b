/** One flow: the packets of one 5-tuple in one direction, as far as they were seen. Belongs to a slot of the table. */
export class FlowEntry {
  /** Peer slot of the last packet, -1 for none. */
  peer = -1;
  /** Packets and IP bytes that were carried on. */
  packets = 0;
  bytes = 0;
  /** Packets that were lost here, and the verdict of the last one. */
  drops = 0;
  dropVerdict = -1;
  /** Segments that were sent again. */
  retransmissions = 0;
  /** Milliseconds since 1970-01-01 UTC. */
  first = 0;
  last = 0;
  /** Smoothed and smallest time from a segment of this flow to its acknowledgement, milliseconds; -1 for none yet. */
  rtt = -1;
  rttMin = -1;
  /** Flow of the packets that answer, undefined when none was seen. */
  reverse: FlowEntry | undefined;

  /** Marks of a rate: what was counted at the last mark and at the one before. */
  packetsMarked = 0;
  bytesMarked = 0;
  packetsBefore = 0;
  bytesBefore = 0;
  /** What the flow log has told already. */
  packetsLogged = 0;
  bytesLogged = 0;
  dropsLogged = 0;
  retransmissionsLogged = 0;
  loggedUntil = 0;

  /** TCP: whether `next` is known, and the sequence number that follows the highest one seen. */
  isFollowed = false;
  next = 0;
  /** The youngest hole in the sequence, when it was seen, and whether there is one. */
  hasGap = false;
  gapStart = 0;
  gapEnd = 0;
  gapAt = 0;
  /** The segment that is being timed: the number that acknowledges it, and when it passed. */
  isTimed = false;
  timedEnd = 0;
  timedAt = 0;
  /** FIN or RST was seen. */
  isEnding = false;

  /** Makes it the entry of a new flow. */
  begin(nowMs: number): void {
    this.packets = this.bytes = this.drops = this.retransmissions = 0;
    this.peer = this.dropVerdict = this.rtt = this.rttMin = -1;
    this.first = this.last = this.loggedUntil = nowMs;
    this.packetsMarked = this.bytesMarked = this.packetsBefore = this.bytesBefore = 0;
    this.packetsLogged = this.bytesLogged = this.dropsLogged = this.retransmissionsLogged = 0;
    this.isFollowed = this.hasGap = this.isTimed = this.isEnding = false;
    this.reverse = undefined;
  }

  /** Moves the marks on: the rate is then that since the mark before. */
  mark(): void {
    this.packetsBefore = this.packetsMarked;
    this.bytesBefore = this.bytesMarked;
    this.packetsMarked = this.packets;
    this.bytesMarked = this.bytes;
  }
}
