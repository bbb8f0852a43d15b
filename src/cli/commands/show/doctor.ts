import type { Command } from 'commander';
import { DEFAULT_SOCKET, getJson } from '../../../api/client.ts';
import type { Diagnosis } from '../../../diagnose/doctor/finding.ts';

interface DoctorOptions {
  socket: string;
  json?: true;
}

/** A thousand silent peers are asked twice, 64 at a time, beside the tunnel and in it. */
const TIMEOUT_MS = 120_000;

/** `ripstop doctor`: says in plain words what is wrong and how to mend it. Exit code 1 when there is a fault. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .summary('find out what is wrong, and how to mend it')
    .description(
      'Has the running agent examine this node and its way to every peer: beside the tunnel, through it, and with full ' +
        'packets. Says what is wrong with the command that mends it. Changes nothing. Exit code 1 when there is a fault.',
    )
    .option('--socket <path>', "the agent's socket", DEFAULT_SOCKET)
    .option('--json', 'print JSON')
    .action(async (options: DoctorOptions) => {
      const diagnosis = await getJson<Diagnosis>(options.socket, '/doctor', TIMEOUT_MS);
      process.stdout.write(
        options.json ? `${JSON.stringify(diagnosis, null, 2)}\n` : showDiagnosis(diagnosis),
      );
      if (diagnosis.findings.some(({ severity }) => severity === 'fault')) process.exitCode = 1;
    });
}

export function showDiagnosis({ findings, inOrder }: Diagnosis): string {
  const found = findings.map(
    ({ severity, kind, what, remedy }) => `${severity} (${kind}): ${what}\n  mend: ${remedy}\n`,
  );
  const well = inOrder.length > 0 ? `in order: ${inOrder.join(', ')}\n` : '';
  return `${found.length > 0 ? `${found.join('\n')}\n` : 'nothing is wrong\n'}${well}`;
}
