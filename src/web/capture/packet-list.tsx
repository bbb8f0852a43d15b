import { useEffect, useRef, useState } from 'preact/hooks';
import type { PacketView } from '../../api/web/messages.ts';

interface ListProps {
  readonly packets: readonly PacketView[];
  /** Number of the chosen packet, 0 for none. */
  readonly chosen: number;
  readonly choose: (number: number) => void;
}

/** Height of a row in pixels, as in the style sheet. */
const ROW = 26;
const AROUND = 8;

/** The packets as a table that renders only the visible rows, as there may be thousands. */
export function PacketList({ packets, chosen, choose }: ListProps) {
  const frame = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(ROW * 12);
  const first = Math.max(0, Math.floor(top / ROW) - AROUND);
  const last = Math.min(packets.length, Math.ceil((top + height) / ROW) + AROUND);
  useEffect(() => {
    const element = frame.current!;
    setHeight(element.clientHeight);
    // Follows the last packet, as a terminal does.
    if (chosen === 0) element.scrollTop = element.scrollHeight;
  }, [packets.length, chosen]);
  const go = (to: number) => {
    const number = Math.max(1, Math.min(packets.length, to));
    choose(number);
    const element = frame.current!;
    const above = (number - 1) * ROW;
    if (above < element.scrollTop) element.scrollTop = above;
    if (above + 2 * ROW > element.scrollTop + element.clientHeight)
      element.scrollTop = above + 2 * ROW - element.clientHeight;
  };
  const page = Math.max(1, Math.floor(height / ROW) - 1);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table has no chosen row
    <div
      class="packets"
      ref={frame}
      role="grid"
      tabIndex={0}
      aria-label="Captured packets"
      aria-rowcount={packets.length + 1}
      aria-colcount={5}
      {...(chosen > 0 ? { 'aria-activedescendant': `packet-${chosen}` } : {})}
      onScroll={event => setTop(event.currentTarget.scrollTop)}
      onKeyDown={event => {
        const jump = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page }[event.key];
        if (jump !== undefined) go((chosen || (jump > 0 ? 0 : packets.length + 1)) + jump);
        else if (event.key === 'Home') go(1);
        else if (event.key === 'End') go(packets.length);
        else if (event.key === 'Escape') choose(0);
        else return;
        event.preventDefault();
      }}
    >
      {/* biome-ignore-start lint/a11y: rows and cells of a grid are not tabbed to; the grid itself has the focus */}
      <div role="row" class="head" aria-rowindex={1}>
        {['No.', 'Time', 'Point', 'Packet', 'Verdict'].map(name => (
          <span role="columnheader" key={name}>
            {name}
          </span>
        ))}
      </div>
      <div role="rowgroup" style={{ height: `${packets.length * ROW}px` }}>
        {packets.slice(first, last).map(packet => (
          <div
            key={packet.number}
            id={`packet-${packet.number}`}
            role="row"
            aria-rowindex={packet.number + 1}
            aria-selected={packet.number === chosen}
            data-drop={packet.comments[0]?.startsWith('drop:')}
            style={{ transform: `translateY(${(packet.number - 1) * ROW}px)` }}
            onClick={() => choose(packet.number)}
          >
            <span role="gridcell">{packet.number}</span>
            <span role="gridcell">{timeOf(packet)}</span>
            <span role="gridcell">
              {packet.direction === 'in' ? '← ' : '→ '}
              {packet.point}
            </span>
            <span role="gridcell">{packet.summary}</span>
            <span role="gridcell">{verdictOf(packet)}</span>
          </div>
        ))}
      </div>
      {/* biome-ignore-end lint/a11y: as above */}
    </div>
  );
}

/** `14:03:07.123456`, local time. */
function timeOf({ time }: PacketView): string {
  const nanoseconds = BigInt(time);
  const clock = new Date(Number(nanoseconds / 1_000_000n)).toLocaleTimeString('en-GB');
  return `${clock}.${String((nanoseconds / 1000n) % 1_000_000n).padStart(6, '0')}`;
}

/** The verdict in the first comment: `forward`, `drop: wrong-vni`. */
function verdictOf({ comments }: PacketView): string {
  return comments[0]?.split(/[,;]/)[0] ?? '';
}
