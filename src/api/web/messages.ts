/*
 * The JSON messages between the web UI and its server. Bytes and frames are sums since the data plane started; the
 * reader computes rates. Times are milliseconds since 1970-01-01 UTC unless they say otherwise.
 */

/** Paths of the requests for data, which need the token. */
export const VIEW_PATH = '/api/view';
export const CAPTURE_PATH = '/api/capture';
export const DOWNLOAD_PATH = '/api/capture.pcapng';

/** Answer of GET /web on the agent's socket: the link with its token; null if there is no web UI. */
export interface WebLink {
  readonly link: string | null;
}

/** Answer of GET /api/view. `?since=` names the last sample that the browser has. */
export interface View {
  readonly now: number;
  readonly node: string;
  readonly version: string;
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reasons: readonly string[];
  readonly overlays: readonly OverlayView[];
  readonly peers: readonly PeerView[];
  readonly drops: readonly DropView[];
  readonly history: readonly Sample[];
  /** Null where the kernel carries the packets. */
  readonly flows: FlowsView | null;
  /** Names of all verdicts that lose a frame, for choosing. */
  readonly verdicts: readonly string[];
  readonly points: readonly string[];
  /** Devices of the overlays that can be captured; none where the kernel carries the packets. */
  readonly captures: readonly string[];
}

export interface OverlayView {
  readonly mode: string;
  readonly device: string | null;
  readonly dataPlane: 'userspace' | 'kernel';
  readonly mtu: number;
  readonly address: string;
  readonly subnets: readonly string[];
}

export interface TallyView {
  readonly frames: number;
  readonly bytes: number;
}

export interface PeerView {
  readonly id: string;
  /** Name of its node, or its id. */
  readonly name: string;
  readonly address: string;
  readonly device: string | null;
  readonly subnets: readonly string[];
  /** Reached by a plain route, without the tunnel. */
  readonly direct: boolean;
  /** Null where the kernel forwards and does not count per peer. */
  readonly sent: TallyView | null;
  readonly received: TallyView | null;
  /** Of the periodic probes; null where there are none. */
  readonly probe: ProbeView | null;
}

export interface ProbeView {
  /** Part of the last probes without an answer, 0..1: through the tunnel, where there is one. */
  readonly loss: number;
  /** Null when no answer came. */
  readonly rttMs: number | null;
  /** The same over the underlay; null if it is not probed. */
  readonly besideTunnel: number | null;
}

export interface DropView {
  readonly reason: string;
  readonly frames: number;
  readonly bytes: number;
  readonly meaning: string;
  readonly remedy: string;
}

export interface FlowsView {
  /** Number of flows in the table; `rows` are those with the highest rate. */
  readonly total: number;
  /** Share of the frames that was counted, 0..1; below 1 the figures are estimates. */
  readonly sampled: number;
  readonly rows: readonly FlowView[];
}

/** One 5-tuple in one direction. */
export interface FlowView {
  /** egress: to the peer; ingress: from it. */
  readonly direction: 'egress' | 'ingress';
  readonly protocol: string;
  /** With port, where it has one. */
  readonly source: string;
  readonly destination: string;
  /** Id of the peer, null for none. */
  readonly peer: string | null;
  /** Of the last seconds. */
  readonly bitRate: number;
  /** Packets lost here since the table was turned on. */
  readonly drops: number;
  readonly dropReason: string | null;
  /** Retransmitted TCP segments. */
  readonly retransmissions: number;
  readonly rttMs: number | null;
}

/** What passed within one step of the history. */
export interface Sample {
  /** End of the step. */
  readonly at: number;
  readonly ms: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Frames lost by reason; those that lost none are left out. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Body of POST /api/capture. */
export interface CaptureRequest {
  /** Device of an overlay, empty: the first one. */
  readonly device: string;
  readonly points: readonly string[];
  /** Names of verdicts; `drop` stands for all that lose a frame; empty: all. */
  readonly verdicts: readonly string[];
  /** Name or address, empty: all. */
  readonly peer: string;
  /** In tcpdump's language, over the frame inside; empty: all. */
  readonly filter: string;
  /** Bytes to keep of a packet, 0 for all. */
  readonly snapLength: number;
  /** Packets after which it ends. */
  readonly packets: number;
}

export type CaptureEndReason = 'stopped' | 'count' | 'memory' | 'unattended' | 'source';

/** Answer of GET /api/capture. `?id=` and `?after=` name the capture and how many of its packets the browser has. */
export interface CaptureView {
  /** Unique per capture; 0: no capture yet. */
  readonly id: number;
  readonly running: boolean;
  readonly request: CaptureRequest | null;
  readonly ending: CaptureEndReason | null;
  /** Why it ended, when it failed. */
  readonly fault: string | null;
  readonly delivered: number;
  /** Lost because the reader was too slow. */
  readonly lost: number;
  /** For opening the datagrams of the overlay. */
  readonly overlay: { readonly mode: 'vxlan' | 'udp'; readonly port: number } | null;
  /** The packets after the first `after`, as many as fit into one answer. */
  readonly packets: readonly PacketView[];
}

export interface PacketView {
  /** 1 for the first of its capture. */
  readonly number: number;
  /** Nanoseconds since 1970-01-01 UTC, in digits: too large for a number. */
  readonly time: string;
  readonly point: string;
  readonly direction: 'in' | 'out' | null;
  readonly link: 'ethernet' | 'ip';
  /** One line in the manner of tcpdump. */
  readonly summary: string;
  /** The first is its verdict and peer. */
  readonly comments: readonly string[];
  readonly length: number;
  /** The captured bytes in base64. */
  readonly bytes: string;
}

/** Body of every error response. */
export interface ErrorBody {
  readonly error: string;
  readonly hint?: string;
}
