import { setTimeout as sleep } from 'node:timers/promises';
import { FORMATS } from '../../../../encap/formats.ts';
import { innerMtu } from '../../../../encap/mtu.ts';
import { ResolvedSettings } from '../../../agent/config/settings.ts';
import { parseStaticFile, readText } from '../../../agent/store/static/static-file.ts';
import { vtepMac } from '../../../agent/store/static/vtep-mac.ts';
import { elementAt } from '../../../base/at.ts';
import { RipstopError } from '../../../base/errors.ts';
import { verdictNumbers } from '../../../capture/filter/selection.ts';
import { openCapture } from '../../../capture/format/open.ts';
import { PcapFormat } from '../../../capture/format/pcap/writer.ts';
import { PcapngFormat } from '../../../capture/format/pcapng/writer.ts';
import type { ReplayConfig } from '../../../capture/replay/config.ts';
import { ReplayIo } from '../../../capture/replay/io.ts';
import { UNKNOWN_MACS } from '../../../capture/replay/reasons.ts';
import {
  type ReplayForwarder,
  type ReplayResult,
  type ReplaySkip,
  replay,
} from '../../../capture/replay/replay.ts';
import {
  changeLines,
  type Difference,
  differs,
  ReplayTally,
  resultInterfaces,
  resultLine,
  resultPackets,
  TABLE_HEADING,
} from '../../../capture/replay/report.ts';
import { replayDifference, replayRow, replaySkip, replaySummary } from '../../../capture/replay/rows.ts';
import type { FileSinkOptions } from '../../../capture/sink/file-sink.ts';
import { formatOf, openSink } from '../../../capture/sink/open-sink.ts';
import { OutputStream } from '../../../capture/sink/output-stream.ts';
import { NO_PEER, NOT_FOR_US, VERDICTS } from '../../../dataplane/descriptor/verdicts.ts';
import { openReplayForwarder, REPLAY_BATCH } from '../../../dataplane/replay/replay-forwarder.ts';
import { parseAddress, requireAddress } from '../../../ip/address.ts';
import { requirePrefix } from '../../../ip/prefix.ts';
import { rowText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { openShown, replayConfigOf } from '../report/report-file.ts';

export interface ReplayOptions extends OutputOptions {
  readonly config?: string;
  readonly from?: string;
  readonly address?: string;
  readonly against?: string;
  readonly write?: string;
  readonly verdict?: string[];
  readonly summary?: true;
  readonly speed: 'full' | 'capture';
  readonly underlayMtu?: number;
}

const UNDERLAY_MTU = 1500;

type Outcome = ReplayResult | ReplaySkip;

interface FileConfig extends ReplayConfig {
  /** The file leaves out the MAC of a VTEP. */
  readonly derivesMacs: boolean;
}

/** Runs `ripstop replay`. @throws RipstopError */
export async function runReplayCommand(path: string, options: ReplayOptions, version: string): Promise<void> {
  checkTogether(path, options);
  const config = await givenConfig(options);
  const out = new OutputStream(process.stdout);
  if (options.against) await compare(path, config, await configOf(options.against, options), options, out);
  else await show(path, config, options, out, version);
}

function checkTogether(path: string, options: ReplayOptions): void {
  if (options.against && path === '-')
    refuse('--against with standard input', 'the capture is read twice; give a file');
  if (options.write === '-') refuse('--write - with the table on standard output', 'give a file');
}

/** @throws RipstopError ECONFIG, EREPORT */
async function givenConfig(options: ReplayOptions): Promise<FileConfig> {
  const { config, from, address } = options;
  if (from !== undefined) {
    const found = replayConfigOf(openShown(from, options.output), address);
    return { ...found, underlayMtu: options.underlayMtu ?? found.underlayMtu, derivesMacs: false };
  }
  if (config !== undefined) return configOf(config, options);
  refuse('replay without a configuration', 'give --config, or --from with a file of `ripstop report`');
}

/**
 * The configuration of a file for `ripstop run`. The options give what a node would take from its interfaces.
 * @throws RipstopError ECONFIG
 */
async function configOf(file: string, options: ReplayOptions): Promise<FileConfig> {
  // Needs the native addon, which a machine that reads a report may not have.
  const { contradictionsOf } = await import('../../../agent/store/static/contradictions.ts');
  const node = parseStaticFile(readText(file), file);
  const { mode, port, vni, underlay } = node;
  const address = options.address ?? (parseAddress(underlay) ? underlay : undefined);
  if (address === undefined)
    refuse(`${file}: the underlay is "${underlay}"`, "give this node's underlay address with --address");
  const { family } = requireAddress(address);
  const refused = contradictionsOf(node, options.address);
  for (const { key, message } of refused)
    process.stderr.write(`ripstop: ${file}: ignoring peer "${key}": it ${message}\n`);
  const ignored = new Set(refused.map(({ key }) => key));
  const peers = node.peers.filter(({ name }) => !ignored.has(name));
  for (const { name, address } of peers)
    if (requireAddress(address).family !== family)
      refuse(
        `${file}: peer "${name}": ${address} is not an IPv${family} address`,
        "give this node's underlay address of that family with --address",
      );
  const macOf = (mac: string | undefined, owner: string) =>
    mode === 'vxlan' ? (mac ?? vtepMac(vni, owner)) : undefined;
  const { flood, copyDscp, sourceCheck } = new ResolvedSettings({ file: node.settings }).values;
  const { underlayMtu = UNDERLAY_MTU } = options;
  return {
    ...{ mode, address, port, vni, underlayMtu, flood, copyDscp },
    mac: macOf(node.mac, address),
    subnets: node.subnets.map(requirePrefix),
    networks: node.networks.map(requirePrefix),
    derivesMacs: mode === 'vxlan' && [node.mac, ...peers.map(({ mac }) => mac)].includes(undefined),
    mtu: node.mtu === 'auto' ? innerMtu(FORMATS[mode], family, underlayMtu) : node.mtu,
    sourceCheck: sourceCheck === 'strict',
    peers: peers.map(({ name, address, mac, subnets, remoteChecksum }) => ({
      id: name,
      address,
      mac: macOf(mac, address),
      remoteChecksum,
      subnets: subnets.map(requirePrefix),
    })),
  };
}

function refuse(what: string, hint: string): never {
  throw new RipstopError('ECONFIG', what, hint);
}

function open(config: ReplayConfig): ReplayForwarder {
  const ends = new ReplayIo(config, REPLAY_BATCH);
  return { ends, ...openReplayForwarder(config, ends) };
}

async function show(
  path: string,
  config: FileConfig,
  options: ReplayOptions,
  out: OutputStream,
  version: string,
): Promise<void> {
  const wanted = options.verdict && new Set(options.verdict.flatMap(name => verdictNumbers(name, VERDICTS)));
  const tally = new ReplayTally();
  const reader = await openCapture(path);
  const sink = options.write && (await openSink(resultsFile(options.write, config, version)));
  let start: bigint | undefined;
  let fault: RipstopError | undefined;
  try {
    if (!options.summary && !options.output) await out.write(`${TABLE_HEADING}\n`);
    const outcomes = paced(replay(reader, config, open(config)), options.speed);
    fault = await eachOutcome(outcomes, async outcome => {
      tally.add(outcome);
      if ('skipped' in outcome) {
        if (options.output && !wanted)
          await out.write(await rowText(options.output, 'ripstop-replay-skip/1', replaySkip(outcome)));
        return;
      }
      if (wanted && !wanted.has(outcome.verdict)) return;
      start ??= outcome.time;
      if (sink) for (const packet of resultPackets(outcome)) await sink.packet(packet);
      if (options.output)
        await out.write(await rowText(options.output, 'ripstop-replay/1', replayRow(outcome)));
      else if (!options.summary) await out.write(`${resultLine(outcome, start)}\n`);
    });
  } finally {
    if (sink) await sink.close();
  }
  if (options.output)
    await out.write(await rowText(options.output, 'ripstop-replay-summary/1', replaySummary(tally)));
  else await out.write(`${tally.lines().join('\n')}\n`);
  if (config.derivesMacs) noteMacs(tally);
  if (fault) throw fault;
}

/** Uses each outcome. @returns the fault of a broken capture file, which comes after everything that is whole */
async function eachOutcome(
  outcomes: AsyncIterable<Outcome>,
  use: (outcome: Outcome) => Promise<void>,
): Promise<RipstopError | undefined> {
  try {
    for await (const outcome of outcomes) await use(outcome);
    return undefined;
  } catch (error) {
    if (error instanceof RipstopError && error.code === 'ECAPTURE') return error;
    throw error;
  }
}

/** Where frames did not find their peer by MAC, says that an agent's MACs are not derived. */
function noteMacs(tally: ReplayTally): void {
  const unknown = [NO_PEER, NOT_FOR_US].reduce(
    (sum, verdict) => sum + (tally.verdicts.get(elementAt(VERDICTS, verdict).name) ?? 0),
    tally.notJudged.get(UNKNOWN_MACS) ?? 0,
  );
  if (unknown > 0)
    process.stderr.write(
      `ripstop replay: ${unknown} frames have MACs that no VTEP of the configuration has; \`ripstop run\` derives them, an ` +
        'agent does not: for a capture of an agent give `mac` for this node and each peer (`ripstop peers --json` shows them)\n',
    );
}

/** The file for the output and the dropped packets. */
function resultsFile(path: string, config: ReplayConfig, version: string): FileSinkOptions {
  const interfaces = resultInterfaces(config.mode);
  const format =
    formatOf(path) === 'pcap'
      ? new PcapFormat(elementAt(interfaces, 0).link, 0)
      : new PcapngFormat(interfaces, { application: `ripstop ${version} replay` });
  return { path, format, statistics: () => [] };
}

async function compare(
  path: string,
  before: ReplayConfig,
  after: ReplayConfig,
  options: ReplayOptions,
  out: OutputStream,
): Promise<void> {
  const [first, second] = await Promise.all(
    [before, after].map(async config => byPacket(replay(await openCapture(path), config, open(config)))),
  );
  const differences: Difference[] = [];
  let compared = 0;
  let fault: RipstopError | undefined;
  try {
    for await (const ones of first!) {
      const others = (await second!.next()).value ?? [];
      // The configurations may differ in what they take for several datagrams.
      const count = Math.max(ones.length, others.length);
      compared += count;
      for (let at = 0; at < count; at++) {
        const one = ones[at] ?? ones.at(-1);
        const other = others[at] ?? others.at(-1);
        if (one && other && differs(one, other)) differences.push({ before: one, after: other });
      }
    }
  } catch (error) {
    if (!(error instanceof RipstopError) || error.code !== 'ECAPTURE') throw error;
    fault = error;
  }
  const changed = differences.length;
  if (options.output) {
    for (const difference of differences)
      await out.write(
        await rowText(options.output, 'ripstop-replay-difference/1', replayDifference(difference)),
      );
    await out.write(await rowText(options.output, 'ripstop-replay-comparison/1', { compared, changed }));
  } else {
    for (const line of changeLines(differences)) await out.write(`${line}\n`);
    await out.write(`${compared - changed} of ${compared} packets unchanged\n`);
  }
  if (fault) throw fault;
}

/** The outcomes of each packet together: several where datagrams were merged. */
async function* byPacket(outcomes: AsyncIterable<Outcome>): AsyncGenerator<Outcome[], void, void> {
  let packet: Outcome[] = [];
  try {
    for await (const outcome of outcomes) {
      const [first] = packet;
      if (first && first.number !== outcome.number) {
        yield packet;
        packet = [];
      }
      packet.push(outcome);
    }
  } catch (error) {
    if (packet.length > 0) yield packet;
    throw error;
  }
  if (packet.length > 0) yield packet;
}

/** The outcomes, with `speed` "capture" at the pace of the capture. */
export async function* paced(
  outcomes: AsyncIterable<Outcome>,
  speed: ReplayOptions['speed'],
  clock: { now(): number; sleep(ms: number): Promise<unknown> } = { now: () => performance.now(), sleep },
): AsyncGenerator<Outcome> {
  let begin: { readonly at: number; readonly time: bigint } | undefined;
  for await (const outcome of outcomes) {
    if (speed === 'capture' && !('skipped' in outcome)) {
      begin ??= { at: clock.now(), time: outcome.time };
      const wait = Number(outcome.time - begin.time) / 1e6 - (clock.now() - begin.at);
      if (wait > 1) await clock.sleep(wait);
    }
    yield outcome;
  }
}
