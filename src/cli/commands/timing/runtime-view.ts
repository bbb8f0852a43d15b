import { formatCompact } from '../../../base/text/quantity.ts';
import { type Runtime, STAGE_MEANINGS, type WorkerRuntime } from '../../../diagnose/runtime.ts';
import { formatTable } from '../../terminal/table.ts';

/** One block per direction: its batches, then its stages where it carried frames. */
export function formatRuntime({ workers }: Runtime): string {
  return workers.map(worker => `${headOf(worker)}${tableOf(worker)}`).join('\n');
}

function headOf({ device, direction, worker, nanoseconds, asleep, ...counts }: WorkerRuntime): string {
  const name = `${device} ${direction} (thread ${worker})`;
  const { batches, frames, segments, calls } = counts;
  if (nanoseconds <= 0) return `${name}: no answer; see \`ripstop doctor\`\n`;
  if (batches === 0) return `${name}: no frame, asleep ${percent(asleep / nanoseconds).trim()}\n`;
  const perBatch = (count: number) => formatCompact(count / batches);
  return (
    `${name}: ${formatCompact((frames * 1e9) / nanoseconds)} frames/s\n` +
    `  per batch: ${perBatch(frames)} frames, ${perBatch(segments)} packets on the wire, ${perBatch(calls)} calls\n`
  );
}

function tableOf({ nanoseconds, asleep, stages, frames, direction }: WorkerRuntime): string {
  if (nanoseconds <= 0 || frames === 0) return '';
  const row = (name: string, time: number, meaning: string, perFrame = formatCompact(time / frames)) => [
    `  ${name}`,
    perFrame.padStart(8),
    percent(time / nanoseconds),
    meaning,
  ];
  const meanings = STAGE_MEANINGS[direction];
  const busy = stages.reduce((sum, { nanoseconds: time }) => sum + time, 0);
  return formatTable(
    ['  STAGE', 'NS/FRAME', '   TIME', 'WORK'],
    [
      ...stages.flatMap(({ stage, nanoseconds: time }) => {
        const meaning = meanings[stage];
        return meaning === undefined ? [] : [row(stage, time, meaning)];
      }),
      row('all stages', busy, ''),
      row('asleep', asleep, 'waits for frames', '-'),
      row('other', nanoseconds - busy - asleep, 'between batches; other work of the thread', '-'),
    ],
  );
}

/** A share in seven characters. The clocks of a stage and of the interval are read one after the other. */
function percent(share: number): string {
  return `${(Math.max(0, Math.min(1, share)) * 100).toFixed(1)} %`.padStart(7);
}
