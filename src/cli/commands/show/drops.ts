import type { Command } from 'commander';
import type { DropStatus } from '../../../diagnose/drops.ts';
import { formatBytes, formatTable } from '../../terminal/table.ts';
import { addQueryCommand } from './query.ts';

/** `ripstop drops`: why frames were lost, and what to do about it. */
export function addDrops(program: Command): void {
  addQueryCommand<DropStatus[]>(program, {
    name: 'drops',
    summary: 'show why frames were lost',
    path: '/drops',
    show: showDrops,
    follow: async (socket, json) => (await import('./drops-follow.ts')).followDrops(socket, json),
  });
}

export function showDrops(drops: DropStatus[]): string {
  if (drops.length === 0) return 'no frame was lost\n';
  const table = formatTable(
    ['DEVICE', 'REASON', 'DIRECTION', 'FRAMES', 'BYTES', 'MEANING'],
    drops.map(drop => [
      drop.device,
      drop.reason,
      drop.direction,
      drop.frames,
      formatBytes(drop.bytes),
      drop.meaning,
    ]),
  );
  const remedies = new Map(drops.filter(drop => drop.remedy).map(drop => [drop.reason, drop.remedy]));
  return `${table}\n${[...remedies].map(([reason, remedy]) => `${reason}: ${remedy}\n`).join('')}`;
}
