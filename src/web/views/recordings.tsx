import { useState } from 'preact/hooks';
import type { RecordingView } from '../../api/web/messages.ts';
import { formatBytes } from '../../base/text/quantity.ts';
import type { ApiClient } from '../client/api.ts';
import { download } from '../client/download.ts';

/** The files that triggers of the flight recorder wrote, for download. */
export function Recordings({ api, recordings }: { api: ApiClient; recordings: readonly RecordingView[] }) {
  const [fault, setFault] = useState<string>();
  if (recordings.length === 0) return null;
  const save = async (name: string) => {
    try {
      download(await api.recordingFile(name), name);
      setFault(undefined);
    } catch (error) {
      setFault((error as Error).message);
    }
  };
  return (
    <section class="card" aria-labelledby="recordings-title">
      <h2 id="recordings-title">Flight recorder</h2>
      {fault !== undefined && <p role="alert">{fault}</p>}
      <ul class="reasons">
        {recordings.map(({ name, trigger, bytes, at }) => (
          <li key={name}>
            <b>{trigger}</b>
            <span class="number">{at.slice(0, 19).replace('T', ' ')} UTC</span>
            <span class="number">{formatBytes(bytes)}</span>
            <button
              type="button"
              class="quiet"
              aria-label={`Download ${name}`}
              onClick={() => void save(name)}
            >
              Download
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
