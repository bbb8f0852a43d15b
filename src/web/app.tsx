import { useEffect, useState } from 'preact/hooks';
import type { View } from '../api/web/messages.ts';
import { formatDuration } from '../base/text/quantity.ts';
import { Capture } from './capture/capture.tsx';
import { TokenPrompt } from './client/token-prompt.tsx';
import { useAge } from './client/use-age.ts';
import { useSession } from './client/use-session.ts';
import { announce } from './figures/announce.ts';
import { Drops } from './views/drops.tsx';
import { Links } from './views/links.tsx';
import { NodeMap } from './views/map.tsx';
import { Recordings } from './views/recordings.tsx';
import { Traffic } from './views/traffic.tsx';

export function App() {
  const [paused, setPaused] = useState(false);
  const [peer, setPeer] = useState('');
  const { api, live, at, trouble, refused, wrong, enter } = useSession(paused);
  if (refused !== undefined) return <TokenPrompt wrong={wrong} enter={enter} />;
  if (!live) return <p class="waiting">{trouble ?? 'Connecting to the node …'}</p>;
  const { view, rates, history } = live;
  return (
    <>
      <a class="skip" href="#capture">
        Skip to the capture
      </a>
      <Header view={view} at={at} trouble={trouble} paused={paused} pause={setPaused} />
      <main data-stale={trouble !== undefined || paused}>
        <NodeMap view={view} rates={rates} chosen={peer} choose={setPeer} />
        <Traffic history={history} flows={view.flows} peer={peer} />
        <Drops view={view} history={history} />
        <Recordings api={api} recordings={view.recordings} />
        <Links view={view} rates={rates} chosen={peer} choose={setPeer} />
        <Capture api={api} view={view} peer={peer} choose={setPeer} />
      </main>
    </>
  );
}

interface HeaderProps {
  readonly view: View;
  /** When the view was received, of `Date.now()`. */
  readonly at: number;
  readonly trouble: string | undefined;
  readonly paused: boolean;
  readonly pause: (paused: boolean) => void;
}

function Header({ view, at, trouble, paused, pause }: HeaderProps) {
  const isLost = trouble !== undefined;
  const age = formatDuration(useAge(at));
  const state = isLost ? 'lost' : view.ready ? 'ready' : 'waiting';
  const word = trouble ?? (view.ready ? 'ready: packets can flow' : view.reasons.join('; ') || 'not ready');
  useEffect(() => {
    if (!isLost) return undefined;
    announce(`${view.node}: ${trouble}`);
    return () => announce(`${view.node} answers again`);
  }, [isLost]);
  return (
    <header>
      <h1>
        <img src="icon.svg" alt="" width="28" height="28" />
        Ripstop <span class="node">{view.node}</span>
      </h1>
      <p class="state" data-state={state}>
        <span class="dot" aria-hidden="true" />
        {word}
      </p>
      <p class="age">{isLost ? `last answer ${age} ago` : paused ? `paused, ${age} old` : `${age} old`}</p>
      <ul class="overlays" aria-label="Overlays">
        {view.overlays.map(({ mode, device, mtu, dataPlane }) => (
          <li key={device}>
            <b>{mode}</b> {device} · MTU {mtu} · {dataPlane}
          </li>
        ))}
      </ul>
      <button type="button" class="quiet" aria-pressed={paused} onClick={() => pause(!paused)}>
        {paused ? 'Resume' : 'Pause'}
      </button>
    </header>
  );
}
