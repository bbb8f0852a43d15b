import { useState } from 'preact/hooks';
import type { CaptureRequest, View } from '../../api/web/messages.ts';
import type { RequestError } from '../client/api.ts';

interface FormProps {
  readonly view: View;
  readonly peer: string;
  readonly choosePeer: (id: string) => void;
  readonly running: boolean;
  /** Why the last request was refused. */
  readonly trouble: RequestError | undefined;
  readonly start: (request: CaptureRequest) => void;
  readonly stop: () => void;
}

/** The form that selects the packets of a capture. */
export function CaptureForm({ view, peer, choosePeer, running, trouble, start, stop }: FormProps) {
  const [device, setDevice] = useState('');
  const [filter, setFilter] = useState('');
  const [points, setPoints] = useState<readonly string[]>(view.points);
  const [verdict, setVerdict] = useState('');
  const [snapLength, setSnapLength] = useState(256);
  const [packets, setPackets] = useState(1000);
  const request: CaptureRequest = {
    device,
    points: points.length === view.points.length ? [] : points,
    verdicts: verdict === '' ? [] : [verdict],
    peer,
    filter,
    snapLength,
    packets,
  };
  return (
    <form
      class="capture-form"
      onSubmit={event => {
        event.preventDefault();
        if (running) stop();
        else start(request);
      }}
    >
      <label class="filter">
        Filter
        <input
          type="text"
          class="mono"
          spellcheck={false}
          autocomplete="off"
          placeholder="tcp port 443 and host 10.244.2.9"
          aria-describedby="filter-hint trouble"
          aria-invalid={trouble !== undefined}
          value={filter}
          onInput={event => setFilter(event.currentTarget.value)}
        />
        <span class="hint" id="filter-hint">
          In the language of tcpdump; applies to the inner packet.
        </span>
      </label>
      {view.captures.length > 1 ? (
        <label>
          Overlay
          <select value={device} onChange={event => setDevice(event.currentTarget.value)}>
            {view.captures.map((name, at) => (
              <option key={name} value={at === 0 ? '' : name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      ) : null}
      <label>
        Peer
        <select value={peer} onChange={event => choosePeer(event.currentTarget.value)}>
          <option value="">all</option>
          {[...view.peers]
            .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
            .map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
        </select>
      </label>
      <label>
        Verdict
        <select value={verdict} onChange={event => setVerdict(event.currentTarget.value)}>
          <option value="">all</option>
          <option value="drop">every drop</option>
          {view.verdicts.map(name => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        Keep
        <select value={snapLength} onChange={event => setSnapLength(Number(event.currentTarget.value))}>
          <option value={128}>128 bytes</option>
          <option value={256}>256 bytes</option>
          <option value={0}>whole packets</option>
        </select>
      </label>
      <label>
        End after
        <select value={packets} onChange={event => setPackets(Number(event.currentTarget.value))}>
          {[100, 1000, 10_000].map(number => (
            <option key={number} value={number}>
              {number.toLocaleString('en')} packets
            </option>
          ))}
        </select>
      </label>
      <fieldset class="points">
        <legend>Points</legend>
        {view.points.map(name => (
          <label key={name}>
            <input
              type="checkbox"
              checked={points.includes(name)}
              onChange={event => {
                const on = event.currentTarget.checked;
                setPoints(view.points.filter(other => (other === name ? on : points.includes(other))));
              }}
            />
            {name}
          </label>
        ))}
      </fieldset>
      <button type="submit" class="main" disabled={!running && points.length === 0}>
        {running ? 'Stop' : 'Start'}
      </button>
      <p class="trouble" id="trouble" role="alert">
        {trouble ? `${trouble.message}${trouble.hint ? ` – ${trouble.hint}` : ''}` : ''}
      </p>
    </form>
  );
}
