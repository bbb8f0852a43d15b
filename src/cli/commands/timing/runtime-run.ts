import type { Answer } from '../../../api/answers.ts';
import { getJson } from '../../../api/client.ts';
import { printableValue } from '../../../base/text/printable.ts';
import { objectText } from '../../json/print.ts';
import type { OutputOptions } from '../../options.ts';
import { formatRuntime } from './runtime-view.ts';

export interface RuntimeFlags extends OutputOptions {
  readonly socket: string;
  readonly seconds: number;
}

/** Time for the start and the end of a measurement, ms. */
const AROUND_MS = 10_000;

/** `ripstop runtime`. @throws RipstopError */
export async function showRuntime({ socket, seconds, output }: RuntimeFlags): Promise<void> {
  const answer = await measureRuntime(socket, seconds);
  process.stdout.write(
    output ? await objectText(output, 'ripstop-runtime/1', answer) : formatRuntime(printableValue(answer)),
  );
}

/** The stages of the workers over some seconds. @throws RipstopError */
export async function measureRuntime(socket: string, seconds: number): Promise<Answer<'/runtime'>> {
  const timeoutMs = seconds * 1000 + AROUND_MS;
  return getJson(socket, '/runtime', { query: `?seconds=${seconds}`, timeoutMs });
}
