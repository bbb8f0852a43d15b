import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { RipstopError } from '../base/errors.ts';
import { integer, listOf, readObject, required, text } from '../base/schema.ts';
import type { Selection } from '../capture/filter/selection.ts';
import type { CaptureHub } from '../capture/live/capture-hub.ts';
import { type PodSource, withPods } from '../capture/live/record-stream.ts';
import type { FlightRecorder, RecordedRange } from '../capture/recorder/flight-recorder.ts';
import type { Answer } from './answers.ts';
import { CAPTURE_ID_FIELD } from './client.ts';
import { readJson, sendError, sendJson } from './listener.ts';

const BODY_MAX = 16384;

const selectionFields = {
  points: listOf(text('the name of a point', 'point'), 'capture points; all when left out'),
  verdicts: listOf(text('the name of a verdict', 'verdict'), 'verdicts; all when left out'),
  device: text('a device', 'name of an overlay device; the first that fits when left out'),
  family: integer(4, 6, 'IP version of the packets: 4 or 6'),
  peer: text('a peer', 'name or underlay address of a peer'),
  snapLength: required(integer(0, 0x7fffffff, 'bytes to keep of a packet, 0 for all', 'bytes')),
  pastSeconds: integer(
    1,
    86_400,
    'what the flight recorder has of the last seconds, and no further packets',
    'seconds',
  ),
  lostFrames: integer(1, 100_000, 'the last lost frames of the flight recorder, and no further packets'),
};

/** An overlay that can be captured from. */
export interface CaptureTarget {
  readonly device: string;
  /** IP versions of the packets that it carries. */
  readonly families: readonly number[];
  readonly hub: CaptureHub;
  /** Undefined where it is off. */
  readonly recorder?: FlightRecorder | undefined;
}

/** What captures need of a node; no targets where the kernel carries the packets. */
export interface CaptureApi {
  readonly captures: readonly CaptureTarget[];
  readonly pods: PodSource;
}

export function targetsOf(targets: readonly CaptureTarget[]): Answer<'/captures'> {
  return targets.map(({ device, families }) => ({ device, families }));
}

/** The captures that run, by name. */
const running = new Map<string, AbortController>();

const stopFields = {
  id: required(text('the name of a capture', 'name that the answer to the capture gave')),
};

/** Answers POST /capture/stop: the stream of the capture ends with what it has. A capture may have ended already. */
export async function answerCaptureStop(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const { id } = readObject(stopFields, await readJson(incoming, BODY_MAX), '');
    running.get(id)?.abort();
    sendJson(response, 200, {});
  } catch (error) {
    sendError(response, error);
  }
}

/**
 * Answers POST /capture: a JSON selection in, the stream of `capture/live/record-stream.ts` out until the caller hangs up or stops it by its
 * name, which a field of the answer has.
 */
export async function answerCapture(
  incoming: IncomingMessage,
  response: ServerResponse,
  { captures, pods }: CaptureApi,
): Promise<void> {
  const control = new AbortController();
  const id = randomUUID();
  response.on('close', () => {
    running.delete(id);
    control.abort();
  });
  try {
    const { selection, range, device, family } = await readSelection(incoming);
    const target = selectTarget(captures, device, family);
    const stream = range
      ? requireRecorder(target).stream(range, selection)
      : await target.hub.start(selection, control.signal);
    running.set(id, control);
    response.writeHead(200, { 'content-type': 'application/octet-stream', [CAPTURE_ID_FIELD]: id });
    await pipeline(withPods(stream, pods), response);
  } catch (error) {
    if (response.headersSent) return;
    sendError(response, error);
  }
}

/** @throws RipstopError ECAPTURE when there is none */
export function selectTarget(
  targets: readonly CaptureTarget[],
  device: string | undefined,
  family: number | undefined,
): CaptureTarget {
  if (targets.length === 0)
    throw new RipstopError(
      'ECAPTURE',
      'the kernel carries the packets of this node',
      'capture with tcpdump on its device',
    );
  const target = targets.find(
    one =>
      (device === undefined || one.device === device) &&
      (family === undefined || one.families.includes(family)),
  );
  if (target) return target;
  const known = targets.map(one => `${one.device} (IPv${one.families.join(' and IPv')})`).join(', ');
  throw new RipstopError('ECAPTURE', `no overlay ${device ?? `carries IPv${family}`}`, `there are: ${known}`);
}

/** The flight recorder of an overlay. @throws RipstopError ECAPTURE when it has none */
export function requireRecorder({ device, recorder }: CaptureTarget): FlightRecorder {
  if (recorder) return recorder;
  throw new RipstopError(
    'ECAPTURE',
    `the flight recorder of ${device} is off`,
    'set `recorder` to `losses` or `headers` and start the agent again',
  );
}

async function readSelection(incoming: IncomingMessage): Promise<{
  selection: Selection;
  range: RecordedRange | undefined;
  device: string | undefined;
  family: number | undefined;
}> {
  const fields = readObject(selectionFields, await readJson(incoming, BODY_MAX), 'selection');
  const { points, verdicts, peer, snapLength, pastSeconds, lostFrames, device, family } = fields;
  const selection = {
    snapLength,
    ...(points ? { points } : {}),
    ...(verdicts ? { verdicts } : {}),
    ...(peer !== undefined ? { peer } : {}),
  };
  const isRecorded = pastSeconds !== undefined || lostFrames !== undefined;
  return { selection, range: isRecorded ? { pastSeconds, lostFrames } : undefined, device, family };
}
