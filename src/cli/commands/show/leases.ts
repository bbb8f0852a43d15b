import type { Command } from 'commander';
import type { LeaseStatus } from '../../../api/status.ts';
import { formatTable } from '../../terminal/table.ts';
import { addQueryCommand } from './query.ts';

/** `ripstop leases`: every lease of the store, this node's marked. */
export function addLeases(program: Command): void {
  addQueryCommand<LeaseStatus[]>(program, {
    name: 'leases',
    summary: 'list all leases of the store',
    path: '/leases',
    show: showLeases,
  });
}

export function showLeases(leases: LeaseStatus[]): string {
  if (leases.length === 0) return 'no leases\n';
  const rows = leases.map(lease => [
    lease.own ? '*' : '',
    lease.subnets.join(','),
    lease.node ?? '-',
    [lease.publicIp, lease.publicIpv6].filter(Boolean).join(','),
    lease.backend,
    lease.ends ?? 'by the store',
  ]);
  return formatTable(['', 'SUBNETS', 'NODE', 'ADDRESS', 'BACKEND', 'ENDS'], rows);
}
