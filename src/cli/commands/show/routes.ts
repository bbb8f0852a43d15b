import type { Command } from 'commander';
import type { RouteStatus } from '../../../api/status.ts';
import { formatTable } from '../../terminal/table.ts';
import { addQueryCommand } from './query.ts';

/** `ripstop routes`: the routes that the agent keeps in the kernel. */
export function addRoutes(program: Command): void {
  addQueryCommand<RouteStatus[]>(program, {
    name: 'routes',
    summary: 'list the routes that are kept in the kernel',
    path: '/routes',
    show: showRoutes,
  });
}

export function showRoutes(routes: RouteStatus[]): string {
  if (routes.length === 0) return 'no routes\n';
  return formatTable(
    ['DESTINATION', 'VIA', 'DEVICE'],
    routes.map(({ destination, via, device }) => [destination, via ?? '-', device ?? '-']),
  );
}
