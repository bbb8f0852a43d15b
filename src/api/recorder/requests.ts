import type { IncomingMessage, ServerResponse } from 'node:http';
import { flag, readObject, required, text } from '../../base/schema.ts';
import { writeRecording } from '../../capture/recorder/recording.ts';
import { StreamSink } from '../../capture/sink/stream-sink.ts';
import { type CaptureTarget, requireRecorder, selectTarget } from '../capture.ts';
import { readJson, sendError, sendJson } from '../listener.ts';

const BODY_MAX = 4096;

const switchFields = {
  headers: required(flag('whether to record the headers of all frames')),
  device: text('a device', 'name of an overlay device; all when left out'),
};

/** Answers POST /recorder: turns the recorder of all headers on or off until the data plane ends. */
export async function answerRecorderSwitch(
  incoming: IncomingMessage,
  response: ServerResponse,
  targets: readonly CaptureTarget[],
): Promise<void> {
  try {
    const { headers, device } = readObject(switchFields, await readJson(incoming, BODY_MAX), '');
    // Without a target this throws and says why.
    const chosen =
      device === undefined && targets.length > 0 ? targets : [selectTarget(targets, device, undefined)];
    for (const recorder of chosen.map(requireRecorder)) recorder.isRecording = headers;
    sendJson(response, 200, {});
  } catch (error) {
    sendError(response, error);
  }
}

/** Answers GET /recorder/pcapng?device=: what the recorder of an overlay has at the moment, as pcapng. */
export async function answerRecording(
  response: ServerResponse,
  targets: readonly CaptureTarget[],
  query: URLSearchParams,
): Promise<void> {
  try {
    const recorder = requireRecorder(selectTarget(targets, query.get('device') ?? undefined, undefined));
    response.setHeader('content-type', 'application/octet-stream');
    await writeRecording(recorder, {
      reason: 'flight recorder on request',
      open: options => new StreamSink({ ...options, stream: response, name: 'response' }),
    });
    response.end();
  } catch (error) {
    if (response.headersSent) response.destroy();
    else sendError(response, error);
  }
}
