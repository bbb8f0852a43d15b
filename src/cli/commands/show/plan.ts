import type { Command } from 'commander';
import { getJson } from '../../../api/client.ts';
import { printableValue } from '../../../base/text/printable.ts';
import { objectText } from '../../json/print.ts';
import { addOutput, type OutputOptions, SOCKET } from '../../options.ts';

interface PlanOptions extends OutputOptions {
  readonly socket: string;
}

/** Exit status when there is something to change; 1 is a failure, 2 an invalid call. */
const CHANGES = 3;

/** The options of the output, which are none of `ripstop agent`; the first has its value in the next word. */
const OUTPUT_OPTION = /^(-o|--output)$/;
const OUTPUT_WORD = /^(-j|--json|--output=.*|-o=?(json|yaml))$/;

/** Arguments that only choose the running agent. */
const AGENT_CHOICE = /^$|^--socket\b|^--instance[ =]\S+$/;

/** `ripstop plan`: the difference between the present and the desired kernel state; changes nothing. */
export function addPlan(program: Command): void {
  const command = program
    .command('plan')
    .summary('show what the agent would change on this node; change nothing')
    .description(
      'Without flags of `ripstop agent`: shows the pending repairs of the running agent. With such flags, and without ' +
        '--socket: shows what an agent with these flags would change on this node. Lines that begin with ! name ' +
        'ignored leases and settings. Changes nothing on the node or in the store. The exit status is 0 if there is ' +
        'nothing to change, 3 if there is something, and 1 if the plan cannot be made.',
    )
    .usage('[options] [flags of ripstop agent]')
    .addOption(SOCKET)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(plan);
  addOutput(command);
}

async function plan({ socket, output }: PlanOptions, command: Command): Promise<void> {
  const words = withoutOutput(process.argv.slice(process.argv.indexOf(command.name()) + 1));
  const isAsking = AGENT_CHOICE.test(words.join(' '));
  const steps = isAsking ? await getJson(socket, '/pending') : await planFor(words);
  process.stdout.write(
    output ? await objectText(output, 'ripstop-plan/1', { steps }) : showPlan(printableValue(steps)),
  );
  if (steps.some(isChange)) process.exitCode = CHANGES;
}

function withoutOutput(words: readonly string[]): string[] {
  return words.filter((word, at) => {
    const isValue = OUTPUT_OPTION.test(words[at - 1] ?? '');
    return !isValue && !OUTPUT_OPTION.test(word) && !OUTPUT_WORD.test(word);
  });
}

async function planFor(flagWords: readonly string[]): Promise<readonly string[]> {
  const { logOf } = await import('../../../api/process.ts');
  const { parseFlags } = await import('../../../agent/config/flags.ts');
  const { agentOptions, openStore } = await import('../../../agent/inputs/options.ts');
  const { dryRun } = await import('../../../diagnose/dry-run.ts');
  const flags = parseFlags(flagWords, process.env);
  const { store, nodeName, netns } = await openStore(flags, process.env);
  try {
    return await dryRun(agentOptions(flags, nodeName, netns), store, logOf(flags));
  } finally {
    await store.close();
  }
}

/** Lines that begin with ! name what is ignored. */
function isChange(step: string): boolean {
  return !step.startsWith('!');
}

export function showPlan(steps: readonly string[]): string {
  return `${[...steps, ...(steps.some(isChange) ? [] : ['nothing to change'])].join('\n')}\n`;
}
