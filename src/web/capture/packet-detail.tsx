import { useMemo, useState } from 'preact/hooks';
import { type DissectOptions, dissect, type Layer } from '../../../encap/dissect.ts';
import type { PacketView } from '../../api/web/messages.ts';
import { layerView } from './layer-view.ts';

/** The layers and bytes of one packet. */
export function PacketDetail({
  packet,
  overlay,
}: {
  packet: PacketView;
  overlay: DissectOptions['overlay'];
}) {
  const [lit, light] = useState<Layer>();
  const bytes = useMemo(
    () => Uint8Array.from(atob(packet.bytes), char => char.charCodeAt(0)),
    [packet.bytes],
  );
  const layers = useMemo(
    () =>
      dissect(bytes, packet.link, { length: packet.length, overlay }).map(layer => ({
        layer,
        view: layerView(layer),
      })),
    [bytes, packet.length, packet.link, overlay],
  );
  return (
    <section class="detail" aria-label={`Packet ${packet.number}`}>
      <h3>
        Packet {packet.number} · {packet.point}
      </h3>
      <ul class="comments">
        {packet.comments.map(comment => (
          <li key={comment} data-drop={comment.startsWith('drop:')}>
            {comment}
          </li>
        ))}
        {bytes.length < packet.length ? (
          <li>
            {bytes.length} of {packet.length} bytes were captured
          </li>
        ) : null}
      </ul>
      <div class="layers">
        {layers.map(({ layer, view }) => (
          <details
            key={layer.offset}
            open={view.name !== 'Data'}
            onPointerEnter={() => light(layer)}
            onPointerLeave={() => light(undefined)}
            onFocusCapture={() => light(layer)}
            onBlurCapture={() => light(undefined)}
          >
            <summary>
              <b>{view.name}</b> {view.summary}
            </summary>
            <dl>
              {view.fields.map(([label, value]) => (
                <div key={label}>
                  <dt>{label}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
          </details>
        ))}
      </div>
      <HexDump bytes={bytes} lit={lit} />
    </section>
  );
}

const ROW = 16;
/** Maximum number of bytes shown. */
const SHOWN_MAX = 2048;

function HexDump({ bytes, lit }: { bytes: Uint8Array; lit: Layer | undefined }) {
  const shown = bytes.subarray(0, SHOWN_MAX);
  const rows = Array.from({ length: Math.ceil(shown.length / ROW) }, (_, at) => at * ROW);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must be reachable by keyboard
    <section class="hex" tabIndex={0} aria-label="Bytes in hexadecimal">
      <pre>
        {rows.map(row => {
          const part = shown.subarray(row, row + ROW);
          const from = Math.max(0, Math.min(part.length, (lit?.offset ?? 0) - row));
          const to = Math.max(from, Math.min(part.length, (lit ? lit.offset + lit.length : 0) - row));
          const text = (start: number, end: number) => [...part.subarray(start, end)].map(asHex).join('');
          return (
            <div key={row}>
              <span class="at">{row.toString(16).padStart(4, '0')}</span> {text(0, from)}
              {to > from ? <mark>{text(from, to)}</mark> : null}
              {text(to, part.length)}
              {'   '.repeat(ROW - part.length)} {[...part].map(asCharacter).join('')}
            </div>
          );
        })}
        {bytes.length > SHOWN_MAX ? <div>… {bytes.length - SHOWN_MAX} more bytes in the file</div> : null}
      </pre>
    </section>
  );
}

const asHex = (byte: number) => `${byte.toString(16).padStart(2, '0')} `;
const asCharacter = (byte: number) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·');
