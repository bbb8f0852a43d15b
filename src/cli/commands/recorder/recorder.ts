import { Argument, type Command } from 'commander';
import type { Answer } from '../../../api/answers.ts';
import { getJson, postRecorder } from '../../../api/client.ts';
import { formatBytes, formatRate } from '../../../base/text/quantity.ts';
import { objectText } from '../../json/print.ts';
import { addOutput, type OutputOptions, SOCKET } from '../../options.ts';

interface RecorderOptions extends OutputOptions {
  readonly socket: string;
  readonly device?: string;
}

/** `ripstop recorder`: the state of the flight recorder; turns the recorder of all headers on and off. */
export function addRecorder(program: Command): void {
  const command = program
    .command('recorder')
    .summary('show the flight recorder, or turn the recording of all headers on or off')
    .description(
      'The flight recorder keeps the headers of the last lost frames (ripstop drops --last) and, while it is on, of all ' +
        'frames of the last seconds (ripstop capture --past): at most 96 bytes per frame, without payload. The memory ' +
        'for all frames is 64 MiB per overlay by default (setting recorderMebibytes): about 4 s at 100,000 frames/s, 40 s ' +
        'at 10,000 frames/s. on and off hold until the overlay is started again; the setting recorder: headers turns it ' +
        'on at every start. Triggers write the recorder to a file in the state directory (settings trigger...).',
    )
    .addArgument(new Argument('[state]', 'record the headers of all frames').choices(['on', 'off']))
    .option('--device <device>', 'overlay device to turn it on or off for (default: all)')
    .addOption(SOCKET)
    .action(async (state: string | undefined, { socket, device, output }: RecorderOptions) => {
      if (state !== undefined) await postRecorder(socket, state === 'on', device);
      const answer = await getJson(socket, '/recorder');
      process.stdout.write(output ? await objectText(output, 'ripstop-recorder/1', answer) : textOf(answer));
    });
  addOutput(command);
}

/** Rate at which the help names the time that the memory covers. */
const EXAMPLE_RATE = 100_000;

function textOf({ overlays, recordings }: Answer<'/recorder'>): string {
  const lines = overlays.flatMap(({ device, recorder }) => {
    const { since, losses, headers, bytes, frames, framesPerSecond, seconds } = recorder;
    const lost = losses.reduce((sum, one) => sum + one.lost, 0);
    const recorded = losses.reduce((sum, one) => sum + one.recorded, 0);
    const room = `${formatBytes(bytes)} for ${frames} frames`;
    const atRate = seconds === null ? 'no traffic' : `${seconds} s at ${formatRate(framesPerSecond ?? 0)}`;
    const example = (frames / EXAMPLE_RATE).toFixed(1);
    return [
      `${device}: lost frames since ${since}: ${lost}, ${recorded} of them recorded`,
      `${device}: headers of all frames: ${headers ? `on, ${room}: ${atRate}` : `off (on: ${room}, ${example} s at 100k/s)`}`,
    ];
  });
  if (overlays.length === 0) lines.push('no flight recorder: it is off, or the kernel carries the packets');
  const files = recordings.map(({ path, at, bytes }) => `${at}  ${formatBytes(bytes)}  ${path}`);
  return `${[...lines, ...(files.length > 0 ? ['', 'written by triggers:', ...files] : [])].join('\n')}\n`;
}
