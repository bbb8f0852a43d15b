import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { RipstopError } from '../base/errors.ts';
import { integer, listOf, readObject, required, text } from '../base/schema.ts';
import type { Selection } from '../capture/selection.ts';
import { CaptureHub } from '../capture/session.ts';
import type { DataPlane } from '../path/control.ts';
import { readJson, refuse } from './api-answers.ts';

const BODY_MAX = 16384;

const selectionFields = {
  points: listOf(text('the name of a point', 'point'), 'capture points; all when left out'),
  verdicts: listOf(text('the name of a verdict', 'verdict'), 'verdicts; all when left out'),
  peer: text('a peer', 'name or underlay address of a peer'),
  snapLength: required(integer(0, 0x7fffffff, 'bytes to keep of a packet, 0 for all', 'bytes')),
};

const hubs = new WeakMap<DataPlane, CaptureHub>();

/** The one hub of a data plane: its rings have one reader at a time. */
export function hubOf(plane: DataPlane): CaptureHub {
  const hub = hubs.get(plane) ?? new CaptureHub(plane.watched);
  hubs.set(plane, hub);
  return hub;
}

/**
 * Answers POST /capture: a JSON selection in, the stream of `capture/record-stream.ts` out until the caller hangs up.
 * @param hub of the data plane, undefined where the kernel carries the packets
 */
export async function answerCapture(
  incoming: IncomingMessage,
  response: ServerResponse,
  hub: CaptureHub | undefined,
): Promise<void> {
  const control = new AbortController();
  response.on('close', () => control.abort());
  try {
    const selection = await readSelection(incoming);
    if (!hub)
      throw new RipstopError(
        'ECAPTURE',
        'the kernel carries the packets of this node',
        'capture with tcpdump on its device',
      );
    const stream = await hub.start(selection, control.signal);
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    await pipeline(stream, response);
  } catch (error) {
    if (response.headersSent) return;
    refuse(response, error);
  }
}

async function readSelection(incoming: IncomingMessage): Promise<Selection> {
  const value = await readJson(incoming, BODY_MAX);
  const { points, verdicts, peer, snapLength } = readObject(selectionFields, value, 'selection');
  return {
    snapLength,
    ...(points ? { points } : {}),
    ...(verdicts ? { verdicts } : {}),
    ...(peer !== undefined ? { peer } : {}),
  };
}
