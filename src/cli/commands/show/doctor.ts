import type { Command } from 'commander';
import { getJson } from '../../../api/client.ts';
import { printableValue } from '../../../base/text/printable.ts';
import type { Diagnosis } from '../../../diagnose/doctor/finding.ts';
import { objectText } from '../../json/print.ts';
import { addFrom, addOutput, type OutputOptions, SOCKET } from '../../options.ts';

interface DoctorOptions extends OutputOptions {
  socket: string;
  from?: string;
}

/** Enough for a thousand silent peers, which are probed twice, 64 at a time. */
const TIMEOUT_MS = 120_000;

/** `ripstop doctor`: finds faults and shows how to fix them. The exit status is 1 if there is one. */
export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .summary('find faults and how to fix them')
    .description(
      'The running agent checks this node and its path to every peer: over the underlay, through the tunnel, and with ' +
        'full-size packets. Each fault is shown with the command that fixes it. Nothing is changed. The exit status ' +
        'is 1 if there is a fault.',
    )
    .addOption(SOCKET)
    .action(async ({ socket, output, from }: DoctorOptions) => {
      const diagnosis =
        from === undefined
          ? await getJson(socket, '/doctor', { timeoutMs: TIMEOUT_MS })
          : (await import('../report/report-file.ts')).answerFrom(from, '/doctor', output);
      process.stdout.write(
        output
          ? await objectText(output, 'ripstop-doctor/1', diagnosis)
          : showDiagnosis(printableValue(diagnosis)),
      );
      if (diagnosis.findings.some(({ severity }) => severity === 'fault')) process.exitCode = 1;
    });
  addOutput(command);
  addFrom(command);
}

export function showDiagnosis({ findings, inOrder }: Diagnosis): string {
  const found = findings.map(
    ({ severity, kind, what, remedy }) => `${severity} (${kind}): ${what}\n  fix: ${remedy}\n`,
  );
  const well = inOrder.length > 0 ? `checked: ${inOrder.join(', ')}\n` : '';
  return `${found.length > 0 ? `${found.join('\n')}\n` : 'no fault found\n'}${well}`;
}
