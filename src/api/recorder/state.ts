import type { Agent } from '../../agent/agent.ts';
import type { Overlay } from '../../agent/overlay/overlay.ts';
import {
  boolean,
  described,
  listOf,
  nullable,
  number,
  record,
  string,
  type ValueOf,
} from '../../base/schema.ts';

const sampling = record({
  reason: described('name of the verdict', string),
  lost: described('frames lost since `since`', number),
  recorded: described('those of them whose headers were recorded', number),
  every: described('every n-th lost frame is recorded at present; more than 1 in a flood', number),
});

/** State of the flight recorder of one overlay. */
export const recorderField = record({
  since: described('since when lost frames are recorded; the records of earlier ones are gone', string),
  losses: described('what is recorded of the frames lost for each reason', listOf(sampling)),
  headers: described('the headers of all frames are recorded', boolean),
  bytes: described('memory for the headers of all frames', number),
  frames: described('number of frames that fit into it', number),
  framesPerSecond: described(
    'rate of the frames at present; null while they are not recorded',
    nullable(number),
  ),
  seconds: described(
    'time that the memory covers at this rate, seconds; null without traffic, and while they are not recorded',
    nullable(number),
  ),
});

export type RecorderStatus = ValueOf<typeof recorderField>;

/** Answer of GET /recorder. */
export const recorderAnswer = record({
  overlays: described(
    'one per device with a flight recorder',
    listOf(
      record({
        device: described('name of the device', string),
        recorder: described('state of its recorder', recorderField),
      }),
    ),
  ),
  recordings: described(
    'files that triggers wrote, the newest first',
    listOf(
      record({
        path: described('path of the pcapng file', string),
        at: described('when it was written', string),
        bytes: described('its size', number),
      }),
    ),
  ),
});

/** Undefined where the recorder is off, and where the kernel carries the packets. */
export function recorderStatus({ recorder }: Overlay): RecorderStatus | undefined {
  if (!recorder) return undefined;
  const { since, sampling, isRecording, bytes, capacity, rate, seconds } = recorder.state;
  return {
    since: new Date(since).toISOString(),
    losses: [...sampling],
    headers: isRecording,
    bytes,
    frames: capacity,
    framesPerSecond: isRecording ? Math.round(rate) : null,
    seconds: seconds === undefined ? null : Number(seconds.toPrecision(3)),
  };
}

/** The answer to GET /recorder. */
export async function recorderOf(agent: Agent): Promise<ValueOf<typeof recorderAnswer>> {
  const { recordings } = agent.recorder;
  return {
    overlays: (agent.network?.overlays ?? []).flatMap(overlay => {
      const recorder = recorderStatus(overlay);
      return recorder ? [{ device: overlay.plan.device ?? '', recorder }] : [];
    }),
    recordings: (await recordings.list()).map(({ name, at, bytes }) => ({
      path: `${recordings.directory}/${name}`,
      at,
      bytes,
    })),
  };
}
