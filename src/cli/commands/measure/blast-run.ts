import { RipstopError } from '../../../base/errors.ts';
import { formatRate } from '../../../base/text/quantity.ts';
import { formatAddress, requireAddress, unmapped } from '../../../ip/address.ts';
import { SinkClient } from '../../../measure/control/client.ts';
import { DEFAULT_PORT } from '../../../measure/control/messages.ts';
import type { FlowOptions } from '../../../measure/send/generator.ts';
import type { Medium } from '../../../measure/send/medium.ts';
import { pathMtuTo, requireFit } from '../../../measure/send/path-mtu.ts';
import { measureLimit } from '../../../measure/send/self-test.ts';
import { ETHERNET_MTU, parseSizes, SIZE_MAX, sizesOf } from '../../../measure/send/sizes.ts';
import { resolveTarget, type Target } from '../../../measure/send/target.ts';
import type { Rate, StreamPlan } from '../../../measure/stream/plan.ts';
import { runStream } from '../../../measure/stream/run.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { ProgressLine } from '../../terminal/progress.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { blastText } from './blast-text.ts';
import type { RateOption } from './parse.ts';

export interface BlastOptions extends OutputOptions {
  readonly rate: RateOption;
  readonly link?: number;
  readonly size?: string;
  readonly for: number;
  readonly packets: number;
  readonly flows: number;
  readonly sourcePorts?: number[];
  readonly queues?: number;
  readonly gso?: true;
  readonly source?: string;
  readonly interface?: string;
  readonly tun?: string;
  readonly tap?: string;
  readonly control?: string;
  readonly mac?: string;
  readonly force?: true;
  readonly selfTest?: true;
}

/** Bytes of an Ethernet frame outside its IP packet, on the wire: header, check sequence, preamble, gap (IEEE 802.3). */
const WIRE_BYTES = 14 + 4 + 8 + 12;
/** Duration of the run that finds out what 100 % are, ms. */
const MAXIMUM_MS = 1000;
const PROBES = 50;

/** Runs `ripstop blast`. @throws RipstopError */
export async function runBlastCommand(sink: string | undefined, options: BlastOptions): Promise<void> {
  if (options.selfTest) return printLimit(options);
  if (sink === undefined)
    throw new RipstopError('ECONFIG', 'no sink was given', 'name the host where `ripstop sink` runs');
  const to = await resolveTarget(sink, DEFAULT_PORT);
  const control = options.control === undefined ? to : await resolveTarget(options.control, to.port);
  if (control.family !== to.family)
    throw new RipstopError(
      'ECONFIG',
      `--control ${control.address} for ${to.address}`,
      'give addresses of one family',
    );
  const medium = mediumOf(options, undefined);
  const client = options.force
    ? undefined
    : await SinkClient.connect(
        control,
        medium.kind === 'udp' || medium.kind === 'interface' ? options.source : undefined,
      );
  const stop = stopOnSignal();
  const line = new ProgressLine();
  try {
    const plan = { ...(await planOf(to, options, client?.localAddress)), isElsewhere: control !== to };
    const rate = await rateOf(options, plan, client, stop.signal);
    const report = await runStream(
      client,
      { ...plan, rate },
      {
        signal: stop.signal,
        onProgress: ({ elapsedMs, sent }) =>
          line.show(`${(elapsedMs / 1000).toFixed(1)} of ${plan.durationMs / 1000} s, ${sent} packets`),
      },
    );
    line.clear();
    process.stdout.write(
      options.output ? await objectText(options.output, 'ripstop-blast/1', report) : blastText(report),
    );
    if (report.ended === 'sink gone') process.exitCode = 1;
  } finally {
    line.clear();
    client?.close();
  }
}

async function planOf(to: Target, options: BlastOptions, local: string | undefined): Promise<StreamPlan> {
  const { family } = to;
  const flows = flowsOf(options);
  const gso = options.gso ?? false;
  const any = family === 4 ? '0.0.0.0' : '::';
  const own = local === undefined ? any : formatAddress(unmapped(requireAddress(local.replace(/%.*/, ''))));
  const isDevice = options.tun !== undefined || options.tap !== undefined;
  const source = isDevice ? own : (options.source ?? own);
  const medium = mediumOf(options, own);
  const mtu = medium.kind === 'udp' ? pathMtuTo(to) : SIZE_MAX;
  const asked = parseSizes(options.size ?? String(Math.min(ETHERNET_MTU, mtu)));
  if (asked.kind === 'fixed') requireFit(asked.bytes, mtu, to);
  const sizes = await sizesOf(asked, family, mtu);
  return {
    ...{ to, source, sizes, flows, gso, medium },
    rate: { unit: 'packets', perSecond: 0 },
    durationMs: options.for,
    packets: options.packets,
    limit: medium.kind === 'udp' ? await measureLimit({ sizes, flows, gso, family }) : undefined,
    probes: PROBES,
  };
}

function mediumOf({ interface: link, tun, tap, source, mac }: BlastOptions, own: string | undefined): Medium {
  const device = link ?? tun ?? tap;
  if (device === undefined) return { kind: 'udp' };
  const kind = link === undefined ? (tun === undefined ? 'tap' : 'tun') : 'interface';
  if (source === undefined && kind !== 'interface')
    throw new RipstopError(
      'ECONFIG',
      `--${kind} without --source`,
      'give an address that is routed to the device',
    );
  if (source === undefined && own !== undefined && requireAddress(own).value === 0n)
    throw new RipstopError(
      'ECONFIG',
      '--interface with --force, without --source',
      'give the source address of the packets',
    );
  return { kind, device, source: source ?? own ?? '', mac };
}

function flowsOf({ flows, sourcePorts, queues }: BlastOptions): FlowOptions {
  return { count: sourcePorts?.length ?? flows, ports: sourcePorts, queues };
}

/** The rate in packets or bits. Per cent are of the link, or of what arrives at most. */
async function rateOf(
  { rate, link }: BlastOptions,
  plan: StreamPlan,
  client: SinkClient | undefined,
  signal: AbortSignal,
): Promise<Rate> {
  if (rate.unit !== 'percent') return rate;
  const share = rate.percent / 100;
  if (link !== undefined) {
    const bits = plan.sizes.reduce((sum, size) => sum + (size + WIRE_BYTES) * 8, 0) / plan.sizes.length;
    return { unit: 'packets', perSecond: (link * share) / bits };
  }
  if (!client)
    throw new RipstopError('ECONFIG', '--rate in per cent with --force', 'say of which link with --link');
  const most = { unit: 'packets', perSecond: Number.POSITIVE_INFINITY } as const;
  const { received } = await runStream(
    client,
    { ...plan, rate: most, durationMs: MAXIMUM_MS, probes: 1 },
    { signal },
  );
  const perSecond = (received?.packetsPerSecond ?? 0) * share;
  if (perSecond > 0) return { unit: 'packets', perSecond };
  throw new RipstopError(
    'EREFUSED',
    'no packet arrived when as many as possible were sent',
    'give --rate in bits or packets',
  );
}

async function printLimit(options: BlastOptions): Promise<void> {
  const family = 4;
  const sizes = await sizesOf(parseSizes(options.size ?? String(ETHERNET_MTU)), family);
  const flows = flowsOf(options);
  const limit = async (gso: boolean) => Math.round(await measureLimit({ sizes, flows, gso, family }));
  const figures = {
    bytes: sizes.reduce((a, b) => Math.max(a, b)),
    flows: flows.count,
    packetsPerSecond: await limit(false),
    packetsPerSecondGso: await limit(true),
  };
  process.stdout.write(
    options.output
      ? await objectText(options.output, 'ripstop-blast-limit/1', figures)
      : `This generator sends at most ${formatRate(figures.packetsPerSecond)} packets without --gso, ` +
          `${formatRate(figures.packetsPerSecondGso)} with it.\n`,
  );
}
