import { openCaptureStream } from '../../../api/client.ts';
import { PacketDecoder } from '../../../capture/decode/packet-decoder.ts';
import { createFilter } from '../../../capture/filter/filter.ts';
import { pointBits, resolveSelection, type Selection } from '../../../capture/filter/selection.ts';
import { readRecordStream } from '../../../capture/live/record-stream.ts';
import { POINT_NAMES } from '../../../dataplane/tap/record-layout.ts';
import { resolvePods } from '../../pods.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { type CaptureOptions, captureTo, checkTogether, kindOf, snapLengthOf } from './capture-output.ts';
import { throttleUnderLoad } from './capture-throttle.ts';

/** Runs `ripstop capture` until it is stopped, a limit is reached, or its source ends. @throws RipstopError */
export async function runCaptureCommand(
  given: string,
  options: CaptureOptions,
  version: string,
): Promise<void> {
  checkTogether(options);
  if (options.pod) {
    const { capturePods } = await import('../pods/capture-pods.ts');
    return capturePods(given, options, version);
  }
  const { device, outer, vni, segments = false, past } = options;
  const snapLength = snapLengthOf(options, given !== '' || outer !== undefined);
  const selection: Selection = {
    snapLength,
    points: options.point,
    verdicts: options.verdict,
    peer: options.peer,
  };
  pointBits(selection.points ?? []);
  const filter = await resolvePods(options.socket, given);
  const stop = stopOnSignal(options.duration).signal;
  const request = {
    ...selection,
    ...(device === undefined ? {} : { device }),
    ...(past === undefined ? {} : { pastSeconds: past }),
  };
  const chunks = await openCaptureStream(options.socket, request, stop);
  const { context, pods, batches } = await readRecordStream(chunks);
  const { points } = resolveSelection(selection, context);
  const isNameless = options.write !== undefined && kindOf(options.write, options) === 'pcap';
  const decoder = new PacketDecoder(context, { points, snapLength, segments, filter, isNameless, pods });
  await captureTo(
    {
      // The flight recorder overwrites what is not read in time.
      batches: past === undefined ? throttleUnderLoad(batches()) : batches(),
      decoder,
      filter: await createFilter({ inner: filter, outer, vni }, context, decoder),
      stop,
      interfaces: decoder.interfaces,
      overlay: context,
      what: `${pointList(points)} of ${context.mode}${context.mode === 'vxlan' ? `, VNI ${context.vni}` : ''}`,
    },
    options,
    version,
  );
}

function pointList(points: number): string {
  return POINT_NAMES.filter((_, number) => points & (1 << number)).join(', ');
}
