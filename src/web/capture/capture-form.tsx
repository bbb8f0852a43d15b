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
  const peers = [...view.peers].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
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
        <Select
          label="Overlay"
          value={device}
          change={setDevice}
          options={view.captures.map((name, at) => [at === 0 ? '' : name, name])}
        />
      ) : null}
      <Select
        label="Peer"
        value={peer}
        change={choosePeer}
        options={[['', 'all'], ...peers.map(({ id, name }) => [id, name] as const)]}
      />
      <Select
        label="Verdict"
        value={verdict}
        change={setVerdict}
        options={[['', 'all'], ['drop', 'every drop'], ...view.verdicts.map(name => [name, name] as const)]}
      />
      <Select
        label="Keep"
        value={snapLength}
        change={value => setSnapLength(Number(value))}
        options={[
          [128, '128 bytes'],
          [256, '256 bytes'],
          [0, 'whole packets'],
        ]}
      />
      <Select
        label="End after"
        value={packets}
        change={value => setPackets(Number(value))}
        options={[100, 1000, 10_000].map(count => [count, `${count.toLocaleString('en')} packets`])}
      />
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

interface SelectProps {
  readonly label: string;
  readonly value: string | number;
  readonly change: (value: string) => void;
  readonly options: readonly (readonly [value: string | number, text: string])[];
}

function Select({ label, value, change, options }: SelectProps) {
  return (
    <label>
      {label}
      <select value={value} onChange={event => change(event.currentTarget.value)}>
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
