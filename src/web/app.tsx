import { useState } from 'preact/hooks';
import type { View } from '../api/web/messages.ts';
import { Capture } from './capture/capture.tsx';
import { ApiClient, keepToken, takeToken } from './client/api.ts';
import { TokenPrompt } from './client/token-prompt.tsx';
import { useView } from './client/use-polling.ts';
import { Drops } from './views/drops.tsx';
import { Links } from './views/links.tsx';
import { NodeMap } from './views/map.tsx';
import { Traffic } from './views/traffic.tsx';

export function App() {
  const [api, setApi] = useState(() => new ApiClient(takeToken()));
  const [paused, setPaused] = useState(false);
  const [peer, setPeer] = useState('');
  const { live, trouble, locked } = useView(api, paused);
  if (locked)
    return (
      <TokenPrompt
        wrong={api.hasToken}
        enter={token => {
          keepToken(token);
          setApi(new ApiClient(token));
        }}
      />
    );
  if (!live) return <p class="waiting">{trouble ?? 'Connecting to the node …'}</p>;
  const { view, rates, history } = live;
  return (
    <>
      <a class="skip" href="#capture">
        Skip to the capture
      </a>
      <Header view={view} trouble={trouble} paused={paused} pause={setPaused} />
      <main>
        <NodeMap view={view} rates={rates} chosen={peer} choose={setPeer} />
        <Traffic history={history} flows={view.flows} peer={peer} />
        <Drops view={view} history={history} />
        <Links view={view} rates={rates} chosen={peer} choose={setPeer} />
        <Capture api={api} view={view} peer={peer} choose={setPeer} />
      </main>
    </>
  );
}

interface HeaderProps {
  readonly view: View;
  readonly trouble: string | undefined;
  readonly paused: boolean;
  readonly pause: (paused: boolean) => void;
}

function Header({ view, trouble, paused, pause }: HeaderProps) {
  const state = trouble ? 'lost' : view.ready ? 'ready' : 'waiting';
  const word = trouble ?? (view.ready ? 'ready: packets can flow' : view.reasons.join('; ') || 'not ready');
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
