import type { Command } from 'commander';
import { addQuestion } from './ask.ts';

/** `ripstop plan`: the difference between the kernel and what it should be; makes none of it. */
export function addPlan(program: Command): void {
  addQuestion<string[]>(program, {
    name: 'plan',
    summary: 'show what the agent would change in the kernel now',
    path: '/pending',
    show: showPlan,
  });
}

export function showPlan(steps: string[]): string {
  return steps.length === 0 ? 'nothing to change: the kernel is as it should be\n' : `${steps.join('\n')}\n`;
}
