import { formatBitRate, formatLatency, formatRate } from '../../../base/text/quantity.ts';
import { canonicalAddress } from '../../../ip/address.ts';
import type { SinkFigures } from '../../../measure/control/messages.ts';
import { type CountedStream, countedOf } from '../../../measure/sink/counted.ts';
import { Sink } from '../../../measure/sink/sink.ts';
import type { SourceKind } from '../../../measure/sink/worker.ts';
import { rowText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { stopOnSignal } from '../../terminal/stop.ts';

export interface SinkCommandOptions extends OutputOptions {
  readonly port: number;
  readonly address?: string;
  readonly interface?: string;
  readonly tun?: string;
  readonly tap?: string;
  readonly behind?: string[];
  readonly once?: true;
}

/** Runs `ripstop sink`. @throws RipstopError */
export async function runSinkCommand(options: SinkCommandOptions): Promise<void> {
  const { output, port, once } = options;
  const stop = stopOnSignal();
  let printed = Promise.resolve();
  const print = async (from: string, figures: SinkFigures) => {
    const counted = countedOf(from, figures);
    process.stdout.write(output ? await rowText(output, 'ripstop-sink/1', counted) : text(counted));
    if (once) stop.abort();
  };
  const sink = await Sink.open({
    sources: sourcesOf(options),
    port,
    behind: (options.behind ?? []).map(canonicalAddress),
    onStream: (from, figures) => {
      printed = printed.then(() => print(from, figures));
    },
    onError: (from, message) => process.stderr.write(`ripstop sink: ${from}: ${message}\n`),
  });
  process.stderr.write(`ripstop sink: listening on port ${sink.port}, TCP and UDP\n`);
  if (!stop.signal.aborted) await new Promise(done => stop.signal.addEventListener('abort', done));
  await sink.close();
  await printed;
}

function sourcesOf(options: SinkCommandOptions): { kind: SourceKind; device?: string; address: string }[] {
  const { address } = options;
  const [kind, device] = options.interface
    ? (['interface', options.interface] as const)
    : options.tun
      ? (['tun', options.tun] as const)
      : options.tap
        ? (['tap', options.tap] as const)
        : (['udp', undefined] as const);
  // A device has one reader, which serves the family of its address.
  const isShared = kind === 'udp' || kind === 'interface';
  const addresses = address ? [address] : isShared ? ['0.0.0.0', '::'] : ['0.0.0.0'];
  return addresses.map(one => ({ kind, address: one, ...(device === undefined ? {} : { device }) }));
}

function text(counted: CountedStream): string {
  const { oneWay } = counted;
  const lines = [
    `stream of ${counted.from}: ${counted.packets} packets in ${counted.seconds.toFixed(3)} s, ` +
      `${formatRate(counted.packetsPerSecond)}, ${formatBitRate(counted.bitsPerSecond)}`,
    `  duplicates ${counted.duplicates}, reordered ${counted.reordered}, jitter ${formatLatency(counted.jitterUs / 1000)}` +
      (counted.droppedBySink > 0 ? `, too slow for ${counted.droppedBySink}` : ''),
  ];
  if (oneWay)
    lines.push(
      `  one way p50 ${formatLatency(oneWay.p50Us / 1000)}, p99 ${formatLatency(oneWay.p99Us / 1000)}, ` +
        `max ${formatLatency(oneWay.maxUs / 1000)}`,
    );
  return `${lines.join('\n')}\n`;
}
