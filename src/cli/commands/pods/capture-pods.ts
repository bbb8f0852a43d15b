import { getJson } from '../../../api/client.ts';
import { RipstopError } from '../../../base/errors.ts';
import { PodDecoder, type PodFrame } from '../../../capture/decode/pod-decoder.ts';
import { runProgram } from '../../../capture/filter/bpf.ts';
import { compileFilter } from '../../../capture/filter/filter-compiler.ts';
import { filterByPods } from '../../../capture/filter/pod-filter.ts';
import { LINK_ETHERNET } from '../../../capture/format/packet.ts';
import { PodNames } from '../../../capture/live/pods.ts';
import { PodFrames } from '../../../diagnose/pod-capture/frames.ts';
import { vethsOf } from '../../../diagnose/pod-capture/veths.ts';
import { stopOnSignal } from '../../terminal/stop.ts';
import { type CaptureOptions, captureTo, note, snapLengthOf } from '../packets/capture-output.ts';
import { throttleUnderLoad } from '../packets/capture-throttle.ts';

/**
 * `ripstop capture --pod`: captures at the veths of pods, until it is stopped, a limit is reached or the pods are gone. This
 * process reads the packets itself: a flood costs the agent nothing. @throws RipstopError, NetError
 */
export async function capturePods(given: string, options: CaptureOptions, version: string): Promise<void> {
  refuseOverlayOptions(options);
  const { pod: names = [], socket, segments = false, duration } = options;
  const pods = await getJson(socket, '/pods');
  const veths = vethsOf(names, pods);
  const filter = filterByPods(given, pods);
  const snapLength = snapLengthOf(options, filter !== '');
  const decoder = new PodDecoder(veths, { snapLength, segments, filter, pods: new PodNames(pods) });
  const program = filter ? await compileFilter(filter, LINK_ETHERNET) : undefined;
  const accepts = ({ bytes, length }: PodFrame) => !program || runProgram(program, bytes, length) !== 0;
  const stop = stopOnSignal(duration).signal;
  const gone = ({ name, hostLink }: { name: string; hostLink: string }) =>
    note(`pod ${name} went away, with ${hostLink}`);
  const frames = new PodFrames(veths, snapLength);
  await captureTo(
    {
      batches: throttleUnderLoad(frames.batches(gone, stop)),
      decoder,
      filter: accepts,
      stop,
      interfaces: decoder.interfaces,
      overlay: undefined,
      what: veths.map(({ name, hostLink }) => `${name} at ${hostLink}`).join(', '),
    },
    options,
    version,
  );
}

/** @throws RipstopError ECONFIG */
function refuseOverlayOptions({ point, device, peer, vni, verdict, outer, past }: CaptureOptions): void {
  const given = Object.entries({ point, device, peer, vni, verdict, outer, past }).filter(
    ([, value]) => value !== undefined,
  );
  if (given.length === 0) return;
  throw new RipstopError(
    'ECONFIG',
    `--pod with ${given.map(([name]) => `--${name}`).join(' and ')}`,
    'these select packets inside the data plane; a pod is captured at its own interface',
  );
}
