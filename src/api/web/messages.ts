/*
 * The JSON messages between the web UI and its server. Bytes and frames are sums since the data plane started; the
 * reader computes rates. Times are milliseconds since 1970-01-01 UTC unless they say otherwise.
 */

/** Paths of the requests for data, which need the token. */
export const VIEW_PATH = '/api/view';
export const CAPTURE_PATH = '/api/capture';
export const DOWNLOAD_PATH = '/api/capture.pcapng';
/** `?name=` as in the view. */
export const RECORDING_PATH = '/api/recording';

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
  /** Names of all verdicts that drop a frame. */
  readonly verdicts: readonly string[];
  readonly points: readonly string[];
  /** Devices of the overlays that can be captured; none where the kernel carries the packets. */
  readonly captures: readonly string[];
  /** Files that triggers of the flight recorder wrote, the newest first. */
  readonly recordings: readonly RecordingView[];
}

export interface RecordingView {
  readonly name: string;
  /** Why it was written: name of the trigger. */
  readonly trigger: string;
  readonly bytes: number;
  /** ISO 8601. */
  readonly at: string;
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
  /** Reached by a route without the tunnel. */
  readonly direct: boolean;
  /** Null where the kernel forwards and does not count per peer. */
  readonly sent: TallyView | null;
  readonly received: TallyView | null;
  /** Result of the periodic probes; null if there are none. */
  readonly probe: ProbeView | null;
}

export interface ProbeView {
  /** Share of the last probes without an answer, 0..1: through the tunnel if there is one, otherwise over the underlay. */
  readonly loss: number;
  /** Null if no probe was answered. */
  readonly rttMs: number | null;
  /** The loss over the underlay; null if it is not probed. */
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
  /** Address with the port, if there is one. */
  readonly source: string;
  readonly destination: string;
  /** `namespace/name`, null if it is no pod of this node. */
  readonly sourcePod: string | null;
  readonly destinationPod: string | null;
  /** Id of the peer, null for none. */
  readonly peer: string | null;
  /** Over the last seconds. */
  readonly bitRate: number;
  /** Packets dropped by this node since the table was turned on. */
  readonly drops: number;
  readonly dropReason: string | null;
  /** Retransmitted TCP segments. */
  readonly retransmissions: number;
  readonly rttMs: number | null;
}

/** Traffic of one step of the history. */
export interface Sample {
  /** End of the step. */
  readonly at: number;
  readonly ms: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Dropped frames by reason, without zeros. */
  readonly drops: Readonly<Record<string, number>>;
}

/** Body of POST /api/capture. */
export interface CaptureRequest {
  /** Overlay device; empty: the first one. */
  readonly device: string;
  readonly points: readonly string[];
  /** Names of verdicts; `drop` selects all that drop a frame; empty: all. */
  readonly verdicts: readonly string[];
  /** Name or address; empty: all. */
  readonly peer: string;
  /** In tcpdump's language, for the inner frame; empty: all. */
  readonly filter: string;
  /** Maximum bytes to keep per packet, 0 for all. */
  readonly snapLength: number;
  /** Number of packets after which the capture ends. */
  readonly packets: number;
}

export type CaptureEndReason = 'stopped' | 'count' | 'memory' | 'unattended' | 'source';

/** Answer of GET /api/capture, null before the first capture. `?id=` and `?after=` name the capture and how many of its packets the browser has. */
export interface CaptureView {
  /** Number of the capture, from 1. */
  readonly id: number;
  readonly running: boolean;
  readonly ending: CaptureEndReason | null;
  /** Why the capture failed; null if it did not. */
  readonly fault: string | null;
  readonly delivered: number;
  /** Packets lost because the reader was too slow. */
  readonly lost: number;
  /** For decoding the tunnel datagrams. */
  readonly overlay: { readonly mode: 'vxlan' | 'udp'; readonly port: number };
  /** The packets after the first `after`, up to the limit of one answer. */
  readonly packets: readonly PacketView[];
}

export interface PacketView {
  /** 1 for the first of its capture. */
  readonly number: number;
  /** Nanoseconds since 1970-01-01 UTC as digits, as they exceed a number. */
  readonly time: string;
  readonly point: string;
  readonly direction: 'in' | 'out' | null;
  readonly link: 'ethernet' | 'ip';
  /** One line in the notation of tcpdump. */
  readonly summary: string;
  /** The first comment is the verdict and the peer. */
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
