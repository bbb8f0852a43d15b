import type { Namespace } from '../../../src/lab/namespace.ts';
import { launch, type Proc } from '../../../src/lab/proc.ts';
import { MAIN } from '../../fixtures/agents/run-node.ts';
import { type Output, readOutput } from '../../fixtures/json-output.ts';

interface Owner {
  teardown(undo: () => void): void;
}

/** Where a command runs: a namespace, undefined for this one. */
export type Place = Namespace | undefined;

export function ripstop(place: Place, ...args: string[]): Proc {
  const argv = [process.execPath, MAIN, ...args];
  return place ? place.launch(argv) : launch(argv);
}

/** Starts `ripstop sink`; it ends with the test. @returns its port and process */
export async function sinkFor(
  t: Owner,
  place: Place,
  ...args: string[]
): Promise<{ port: number; sink: Proc }> {
  const port = place ? 5299 : 20_000 + Math.floor(Math.random() * 10_000);
  const sink = ripstop(place, 'sink', '--port', String(port), ...args);
  t.teardown(() => sink.kill());
  await sink.saying(/listening on port/);
  return { port, sink };
}

/** What `ripstop blast --json` reports. */
export async function blast(place: Place, to: string, ...args: string[]): Promise<Output<'ripstop-blast/1'>> {
  const run = ripstop(place, 'blast', to, '--json', ...args);
  return readOutput('ripstop-blast/1', await run.success());
}
