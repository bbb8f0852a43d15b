import { useMemo, useRef, useState } from 'preact/hooks';
import type { CaptureRequest, CaptureView, PacketView, View } from '../../api/web/messages.ts';
import { type ApiClient, RequestError } from '../client/api.ts';
import { download } from '../client/download.ts';
import { usePolling } from '../client/use-polling.ts';
import { announce } from '../figures/announce.ts';
import { CaptureForm } from './capture-form.tsx';
import { PacketDetail } from './packet-detail.tsx';
import { PacketList } from './packet-list.tsx';

interface CaptureProps {
  readonly api: ApiClient;
  readonly view: View;
  /** Id of the chosen peer, or empty. */
  readonly peer: string;
  readonly choose: (id: string) => void;
}

const POLL_MS = 700;

const ENDINGS: Readonly<Record<string, string>> = {
  stopped: 'stopped',
  count: 'packet limit reached',
  memory: 'memory limit reached',
  unattended: 'stopped: no browser was open',
  source: 'the data plane ended',
};

/** A capture of the data plane: the form, the packet list, the chosen packet. */
export function Capture({ api, view, peer, choose }: CaptureProps) {
  const { state, packets, trouble, start, stop, save } = useCapture(api);
  const [chosen, setChosen] = useState(0);
  const running = state?.running ?? false;
  const mode = state?.overlay.mode;
  const port = state?.overlay.port;
  const overlay = useMemo(() => (mode && port ? { mode, port } : undefined), [mode, port]);
  const packet = packets[chosen - 1];
  return (
    <section class="card wide" id="capture" aria-labelledby="capture-title" tabIndex={-1}>
      <h2 id="capture-title">Capture</h2>
      {view.captures.length > 0 ? (
        <CaptureForm
          view={view}
          peer={peer}
          choosePeer={choose}
          running={running}
          trouble={trouble}
          start={request => {
            setChosen(0);
            void start(request);
          }}
          stop={stop}
        />
      ) : (
        <p class="nothing">
          The kernel carries the packets of this node: capture with tcpdump on its device.
        </p>
      )}
      {state ? (
        <>
          <div class="progress">
            <p>
              <b>{state.delivered}</b> packets
              {state.lost > 0 ? `, ${state.lost} lost because the reader was too slow` : ''}
              {running ? ', capturing …' : ` · ${state.fault ?? ENDINGS[state.ending ?? ''] ?? ''}`}
            </p>
            <button
              type="button"
              class="quiet"
              disabled={state.delivered === 0}
              onClick={() => void save(view.node)}
            >
              Download pcapng
            </button>
          </div>
          <div class="captured" data-open={packet !== undefined}>
            <PacketList packets={packets} chosen={chosen} choose={setChosen} />
            {packet ? <PacketDetail packet={packet} overlay={overlay} /> : null}
          </div>
        </>
      ) : null}
    </section>
  );
}

/** The running or last capture of the server, which another browser may have started. */
function useCapture(api: ApiClient) {
  const [state, setState] = useState<CaptureView>();
  const [packets, setPackets] = useState<readonly PacketView[]>([]);
  const [trouble, setTrouble] = useState<RequestError>();
  const have = useRef({ id: 0, count: 0, running: false });
  const take = (next: CaptureView) => {
    const { id, count, running } = have.current;
    const fresh = next.id !== id;
    if (fresh) setPackets(next.packets);
    // The answers of two concurrent requests may overlap.
    else if (next.packets[0]?.number === count + 1) setPackets(former => [...former, ...next.packets]);
    const total = next.packets.at(-1)?.number ?? (fresh ? 0 : count);
    if (running && !next.running) announce(`Capture ended, ${next.delivered} packets`);
    have.current = { id: next.id, count: fresh ? total : Math.max(count, total), running: next.running };
    setState(next);
  };
  usePolling(
    POLL_MS,
    false,
    async isCurrent => {
      try {
        const next = await api.capture(have.current.id, have.current.count);
        if (next && isCurrent()) take(next);
      } catch {
        // The request of the view, once per second, reports the error.
      }
    },
    [api],
  );
  const attempt = async (action: () => Promise<void>) => {
    try {
      setTrouble(undefined);
      await action();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      setTrouble(error);
    }
  };
  return {
    state,
    packets,
    trouble,
    start: (request: CaptureRequest) =>
      attempt(async () => {
        take(await api.startCapture(request));
        announce('Capture started');
      }),
    stop: () => void attempt(async () => void (await api.stopCapture())),
    save: (node: string) => attempt(async () => download(await api.captureFile(), fileName(node))),
  };
}

function fileName(node: string): string {
  return `${node}-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.pcapng`;
}
