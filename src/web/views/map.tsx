import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { PeerView, View } from '../../api/web/messages.ts';
import { formatBitRate, formatLatency, formatShare } from '../../base/text/quantity.ts';
import { type LinkRate, peerKey } from '../figures/rates.ts';
import { type Box, capacity, layOut, type Thread } from './map-layout.ts';

interface MapProps {
  readonly view: View;
  readonly rates: ReadonlyMap<string, LinkRate>;
  /** Id of the chosen peer, or empty. */
  readonly chosen: string;
  readonly choose: (id: string) => void;
}

const STILL: LinkRate = { sentBits: 0, receivedBits: 0 };

/** The map of this node and its peers with the current traffic. */
export function NodeMap({ view, rates, chosen, choose }: MapProps) {
  const [frame, width] = useWidth();
  const shown = choosePeers(view.peers, capacity(width));
  const { height, hub, peers, threads } = layOut(width, shown.length);
  const hidden = view.peers.length - shown.length;
  return (
    <section class="card wide" aria-labelledby="map-title">
      <h2 id="map-title">Links</h2>
      <p class="hint">
        <span class="key sent">sent</span> <span class="key received">received</span>
        {hidden > 0
          ? ` · ${shown.length} of ${view.peers.length} peers, those with losses and the busiest; all are in the table`
          : ''}
        {view.peers.length === 0 ? 'No peers yet.' : ''}
      </p>
      <div class="map" ref={frame} style={{ height: `${height}px` }}>
        <svg width={width} height={height} aria-hidden="true">
          {shown.map((peer, at) => {
            const thread = threads[at];
            const rate = rates.get(peerKey(peer)) ?? STILL;
            return thread && <Link key={peerKey(peer)} peer={peer} thread={thread} rate={rate} />;
          })}
        </svg>
        <div class="hub" style={place(hub)}>
          <b>{view.node}</b>
          <span>{[...new Set(view.overlays.map(({ address }) => address))].join(', ')}</span>
          <span>
            {view.overlays
              .flatMap(({ subnets }) => subnets)
              .slice(0, 2)
              .join(', ')}
          </span>
        </div>
        <ul>
          {shown.map((peer, at) => {
            const rate = rates.get(peerKey(peer)) ?? STILL;
            const box = peers[at];
            const label = threads[at]?.label;
            if (!box) return null;
            return (
              <li key={peerKey(peer)}>
                <button
                  type="button"
                  class="peer"
                  style={place(box)}
                  data-health={health(peer)}
                  aria-pressed={chosen === peer.id}
                  onClick={() => choose(chosen === peer.id ? '' : peer.id)}
                >
                  <b>{peer.name}</b>
                  <span>
                    {peer.address}
                    {peer.direct ? ' · direct' : ''}
                  </span>
                  <span class="unseen">{spoken(peer, rate)}</span>
                  {label ? null : <Figures peer={peer} rate={rate} />}
                  <Probe peer={peer} />
                </button>
                {label ? (
                  <div class="figures-at" data-side={label.side} aria-hidden="true" style={spot(label)}>
                    <Figures peer={peer} rate={rate} />
                  </div>
                ) : null}
              </li>
            );
          })}
        </ul>
      </div>
    </section>
  );
}

function Link({ peer, thread, rate }: { peer: PeerView; thread: Thread; rate: LinkRate }) {
  return (
    <g data-health={health(peer)}>
      <path class="strand sent" d={thread.out} data-flows={rate.sentBits > 0} style={strand(rate.sentBits)} />
      <path
        class="strand received"
        d={thread.back}
        data-flows={rate.receivedBits > 0}
        style={strand(rate.receivedBits)}
      />
    </g>
  );
}

function Figures({ peer, rate }: { peer: PeerView; rate: LinkRate }) {
  if (!peer.sent) return <span class="figures">carried by the kernel</span>;
  return (
    <span class="figures" aria-hidden="true">
      <span class="sent">{formatBitRate(rate.sentBits)}</span>
      <span class="received">{formatBitRate(rate.receivedBits)}</span>
    </span>
  );
}

function Probe({ peer }: { peer: PeerView }) {
  const { probe } = peer;
  if (!probe) return null;
  const rtt = probe.rttMs === null ? '' : ` · ${formatLatency(probe.rttMs)}`;
  return (
    <span class="probe">
      {formatShare(probe.loss)} loss{rtt}
      {isTunnelAlone(peer) ? ' in the tunnel only' : ''}
    </span>
  );
}

/** `good`, `lossy`, `dead` by the probes; `unknown` without. */
function health({ probe }: PeerView): string {
  if (!probe) return 'unknown';
  if (probe.loss >= 1) return 'dead';
  return probe.loss > 0 ? 'lossy' : 'good';
}

/** The peer answers over the underlay and not through the tunnel: the fault is in the tunnel. */
const isTunnelAlone = ({ probe }: PeerView) => probe?.loss === 1 && (probe.besideTunnel ?? 1) < 1;

/** The figures of a peer for screen readers. */
function spoken({ sent }: PeerView, rate: LinkRate): string {
  if (!sent) return '';
  return `sending ${formatBitRate(rate.sentBits)}, receiving ${formatBitRate(rate.receivedBits)}`;
}

/**
 * As many peers as fit: those with losses, then those with the most traffic since the start. Sorted by name, so that a
 * peer keeps its position.
 */
function choosePeers(peers: readonly PeerView[], room: number): PeerView[] {
  const bytes = ({ sent, received }: PeerView) => (sent?.bytes ?? 0) + (received?.bytes ?? 0);
  const ill = ({ probe }: PeerView) => Number((probe?.loss ?? 0) > 0);
  const first = [...peers].sort((a, b) => ill(b) - ill(a) || bytes(b) - bytes(a)).slice(0, room);
  return first.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

/** Wider and faster with each power of ten. */
function strand(bits: number) {
  const tens = Math.max(0, Math.log10(bits + 1) - 2);
  return { strokeWidth: `${1.5 + tens * 0.55}px`, animationDuration: `${Math.max(0.35, 2.4 - tens * 0.3)}s` };
}

const place = ({ x, y, width, height }: Box) => ({
  left: `${x}px`,
  top: `${y}px`,
  width: `${width}px`,
  height: `${height}px`,
});
const spot = ({ x, y }: { x: number; y: number }) => ({ left: `${x}px`, top: `${y}px` });

/** The current width of an element. */
function useWidth() {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width] as const;
}
