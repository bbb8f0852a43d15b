import { type Command, Option } from 'commander';
import { addOutput, integerOption } from '../../options.ts';
import type { LabFlags } from './lab-run.ts';

/** The values of `LAB_MODES`; src/lab is loaded when a lab is made. */
const MODES: readonly LabFlags['mode'][] = ['vxlan', 'udp', 'kernel-vxlan', 'host-gw'];

const EXAMPLES = `
Examples:
  ripstop lab                        a shell; $LAB_POD1 and so on name the pods
  ripstop lab --nodes 3 --mode vxlan --link 1gbit,1ms -- sh -c \\
    'ip netns exec $LAB_POD1 ping -c 3 $LAB_POD2_IPV4'
  ripstop lab --clean                remove what a killed lab has left
`;

/** `ripstop lab`: nodes and pods in namespaces of this machine. */
export function addLab(program: Command): void {
  const command = program
    .command('lab')
    .summary('make nodes and pods in namespaces of this machine, for experiments')
    .description(
      'Makes nodes and pods in network namespaces of this machine, joins them, runs COMMAND, and removes everything ' +
        'when COMMAND ends or at Ctrl-C. The environment of COMMAND names namespaces and addresses. Without COMMAND it ' +
        'starts a shell or, without a terminal, waits for Ctrl-C. Nothing reaches the network of the machine. The exit ' +
        'status is that of COMMAND.',
    )
    .argument('[command...]', 'command and its arguments, after --')
    .option('--nodes <count>', 'number of nodes', integerOption(2, 64), 2)
    .option('--pods <count>', 'number of pods of each node', integerOption(1, 100), 1)
    .addOption(new Option('--mode <mode>', 'what joins the nodes').choices(MODES).default('vxlan'))
    .addOption(
      new Option('--family <version>', 'version of IP of the outer packets; pods have both')
        .choices(['4', '6'])
        .default('4'),
    )
    .option(
      '--link <conditions>',
      'rate, one-way delay and loss of the underlay, as 1gbit,1ms,0.1%; the rate is by TBF, the others take netem ' +
        '(default: none)',
    )
    .option('--clean', 'only remove what labs that were killed have left')
    .addHelpText('after', EXAMPLES)
    .action(async (words: string[], options: LabFlags) => {
      const { cleanLabs, runLab } = await import('./lab-run.ts');
      await (options.clean ? cleanLabs(options) : runLab(words, options));
    });
  addOutput(command);
}
