import type { Status } from '../../../api/answers.ts';
import { formatDuration, formatRate } from '../../../base/text/quantity.ts';
import { formatTable } from '../../terminal/table.ts';

/** Worker response time from which pods notice the delay, milliseconds. */
const LONG_LAG_MS = 50;

export function showStatus(status: Status): string {
  const { store, lease, underlay, rules } = status;
  const rows: [string, string][] = [
    ['node', `${status.node} (pid ${status.pid}, ripstop ${status.version}, since ${status.startedAt})`],
    ['ready', status.ready ? 'yes' : `no: ${status.reasons.join('; ')}`],
    [
      'store',
      `${store.location}${store.downSince ? `, UNREACHABLE since ${store.downSince}` : ''}${store.failingWrites.length > 0 ? ', WRITES FAIL' : ''}${store.borrowed ? ', using the saved state' : ''}${kept(store)}`,
    ],
    [
      'lease',
      lease
        ? `${lease.subnets.join(', ')}${lease.endsInMs === null ? '' : `, ends in ${formatDuration(lease.endsInMs)}`}`
        : 'none',
    ],
    [
      'underlay',
      underlay
        ? `${underlay.name}, ${underlay.addresses.join(', ')}, MTU ${underlay.mtu}${nat(underlay)}`
        : 'none',
    ],
    [
      'rules',
      rules ? `${rules.tool}${rules.repaired > 0 ? `, repaired ${rules.repaired} times` : ''}` : 'none',
    ],
  ];
  const repairs = Object.entries(status.repairs);
  if (repairs.length > 0)
    rows.push(['repairs', repairs.map(([step, count]) => `${step} ${count}`).join(', ')]);
  if (status.failing.length > 0)
    rows.push(['failing', status.failing.map(({ part, reason }) => `${part}: ${reason}`).join('; ')]);
  if (status.waiting !== null) rows.push(['waiting', status.waiting]);
  for (const text of store.lacking) rows.push(['lacking', text]);
  rows.push(
    ...status.overlays.flatMap(queues),
    ...status.overlays.flatMap(workers),
    ...status.overlays.flatMap(recorder),
  );
  for (const { name, location, problem } of status.endpoints)
    if (problem !== null) rows.push(['endpoint', `${name} on ${location} is NOT OPEN: ${problem}`]);
  const { uncaught } = status;
  if (uncaught)
    rows.push([
      'restarted',
      `after an uncaught error, ${uncaught.count} times; last at ${uncaught.at}: ${uncaught.message}`,
    ]);
  if (status.rejected.length > 0)
    rows.push(['ignored', status.rejected.map(({ key, message }) => `${key} ${message}`).join('; ')]);
  if (status.refusedSysctls.length > 0)
    rows.push(['settings', `refused: ${status.refusedSysctls.map(({ name }) => name).join(', ')}`]);
  const width = Math.max(...rows.map(([title]) => title.length));
  const head = rows.map(([title, text]) => `${title.padEnd(width)}  ${text}\n`).join('');
  if (status.overlays.length === 0) return head;
  const settings = status.settings.map(({ name, value, origin }) => [name, String(value), origin]);
  const overlays = status.overlays.map(overlay => [
    overlay.device ?? '-',
    overlay.mode,
    overlay.mode === 'host-gw' ? 'kernel routes' : overlay.dataPlane,
    overlay.mtu,
    overlay.mac ?? '-',
    overlay.subnets.join(','),
    overlay.silentPeers > 0 ? `${overlay.peers} (${overlay.silentPeers} silent)` : overlay.peers,
    offloads(overlay.offloads),
  ]);
  return `${head}\n${formatTable(['DEVICE', 'MODE', 'DATA PLANE', 'MTU', 'MAC', 'SUBNETS', 'PEERS', 'OFFLOADS'], overlays)}\n${formatTable(['SETTING', 'VALUE', 'FROM'], settings)}`;
}

/** What each of several queues carried; empty for one. */
function queues({ device, queues }: Status['overlays'][number]): [string, string][] {
  if (!queues || queues.length < 2) return [];
  return queues.map(({ egress, ingress }, queue) => [
    queue === 0 ? 'queues' : '',
    `${device} ${queue}: ${egress} frames egress, ${ingress} ingress`,
  ]);
}

/** Restarts and slow responses of the workers; empty if there are none. */
function workers({ device, workerRestarts, workerLagMs }: Status['overlays'][number]): [string, string][] {
  const words = [
    ...(workerRestarts > 0 ? [`restarted ${workerRestarts} times`] : []),
    ...(workerLagMs !== null && workerLagMs >= LONG_LAG_MS
      ? [`responded after up to ${Math.round(workerLagMs)} ms in the last minute`]
      : []),
  ];
  return words.length > 0 ? [['workers', `${device}: ${words.join(', ')}`]] : [];
}

/** How far the recorder of all headers reaches back; empty while it is off. */
function recorder({ device, recorder }: Status['overlays'][number]): [string, string][] {
  if (!recorder?.headers) return [];
  const { seconds, framesPerSecond, frames } = recorder;
  const time = seconds === null ? 'no traffic' : `${seconds} s at ${formatRate(framesPerSecond ?? 0)}`;
  return [['recorder', `${device}: headers of the last ${frames} frames: ${time}`]];
}

function nat({ addresses, published }: NonNullable<Status['underlay']>): string {
  return published.join() === addresses.join() ? '' : `, published as ${published.join(', ')}`;
}

function offloads(offloads: Readonly<Record<string, string>> | null): string {
  if (!offloads) return '-';
  const off = Object.entries(offloads).filter(([, state]) => state !== 'on');
  return off.length === 0 ? 'all on' : `off: ${off.map(([name]) => name).join(' ')}`;
}

function kept({ kept: state }: Status['store']): string {
  return state ? `, EMPTIED (${state.why}): ${state.leases} leases kept until ${state.until}` : '';
}
