import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename } from 'node:path';
import { describeError } from '../../base/errors.ts';
import { parseJson } from '../../base/schema.ts';
import { withFlock } from '../../net/file-lock.ts';
import { decodeError } from '../result/decode.ts';
import { CODE } from '../skel/errors.ts';
import type { Host } from '../skel/plugin.ts';
import type { CniRequest, CniResponse } from './protocol.ts';
import { listRecords, type RecordedCall, readRecord, requestNow } from './recorded.ts';
import { describeCall, isOvertaken, networkOf } from './recorded-network.ts';

/**
 * Longest time for the calls of one pass, ms; ADDs wait for it. Once calls that hang have used it up, each further one
 * gets `LATE_PART` of it.
 */
const LIMIT_MS = 120_000;
const LATE_PART = 0.01;
/** How often the process may end during one call before that call is refused. */
const ENDS_MAX = 3;
/** Number of refused records that are kept for inspection. */
const REFUSED_MAX = 100;
/** Answers that no further try can change. */
const FINAL: readonly number[] = [
  CODE.INCOMPATIBLE_VERSION,
  CODE.UNSUPPORTED_FIELD,
  CODE.INVALID_ENVIRONMENT,
  CODE.DECODE_FAILURE,
  CODE.INVALID_CONFIG,
  CODE.INVALID_NETNS,
];

/** The outcome of a pass over the recorded calls; each entry describes one call. */
interface Completion {
  completed: string[];
  /** Taken out of the way: no further try can complete them. */
  refused: string[];
  /** Still recorded: they are tried again. */
  failed: string[];
}

type RequestHandler = (request: CniRequest, host: Host) => Promise<CniResponse>;

/**
 * Completes the calls that the executables recorded while no agent answered, oldest first. Two processes that do so at once
 * (an agent and `ripstop cleanup`) exclude each other by a lock. What cannot be completed is named and never blocks the rest.
 */
export class RecordedCalls {
  readonly #directory: string;
  readonly #host: Host;
  readonly #handle: RequestHandler;
  readonly #limitMs: number;
  /** Records whose last try failed, with what it said. */
  readonly #failed = new Map<string, { call: RecordedCall; problem: string }>();
  /** Records whose call did not finish in time: it still runs, and no second one is started. */
  readonly #unfinished = new Set<string>();
  /** Why the records cannot be listed or locked; undefined: they can. */
  #trouble: string | undefined;
  readonly #end = new AbortController();
  #passes = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(directory: string, host: Host, handle: RequestHandler, limitMs = LIMIT_MS) {
    this.#directory = directory;
    this.#host = host;
    this.#handle = handle;
    this.#limitMs = limitMs;
  }

  /** True while calls are recorded whose last try failed. */
  get hasFailed(): boolean {
    return this.#failed.size > 0 || this.#trouble !== undefined;
  }

  /** Completes every record. Never throws: a directory that cannot be read is a failure of its own. */
  complete(): Promise<Completion> {
    return this.#inTurn(() => true);
  }

  /** Tries again what failed. Not while another pass is under way: ADDs would have to wait for more and more of them. */
  async retry(): Promise<void> {
    if (this.hasFailed && this.#passes === 0) await this.complete();
  }

  /** Starts no further call and does not wait for running ones. Calls that are not completed stay recorded. */
  end(): void {
    this.#end.abort();
  }

  /**
   * Before an ADD: completes what no try has been made of, and what belongs to the same attachment.
   * @returns why the ADD must wait: a DEL of the same attachment that fails, which must not come behind the ADD
   */
  async beforeAdd(containerId: string, ifname: string): Promise<string | undefined> {
    const isOfAttachment = (call: RecordedCall) => call.containerId === containerId && call.ifname === ifname;
    await this.#inTurn(file => {
      const failed = this.#failed.get(file);
      return !failed || isOfAttachment(failed.call);
    });
    return [...this.#failed.values()].find(({ call }) => isOfAttachment(call))?.problem;
  }

  #inTurn(wanted: (file: string) => boolean): Promise<Completion> {
    const report: Completion = { completed: [], refused: [], failed: [] };
    const work = async (): Promise<Completion> => {
      try {
        if (listRecords(this.#directory).length === 0) this.#failed.clear();
        else await withFlock(`${this.#directory}/completing`, () => this.#completeAll(wanted, report));
        this.#trouble = undefined;
      } catch (error) {
        const trouble = `recorded calls in ${this.#directory}: ${describeError(error)}`;
        if (this.#trouble === trouble) report.failed.push(trouble);
        else this.#note(report.failed, trouble);
        this.#trouble = trouble;
      }
      this.#passes--;
      return report;
    };
    this.#passes++;
    const turn = this.#turn.then(work);
    this.#turn = turn;
    return turn;
  }

  async #completeAll(wanted: (file: string) => boolean, report: Completion): Promise<void> {
    const calls: RecordedCall[] = [];
    const files = listRecords(this.#directory);
    for (const file of this.#failed.keys()) if (!files.includes(file)) this.#failed.delete(file);
    for (const file of files.filter(wanted)) {
      if (this.#unfinished.has(file)) {
        report.failed.push(this.#failed.get(file)?.problem ?? `${file} is not finished`);
        continue;
      }
      try {
        const call = readRecord(file);
        if (call) calls.push(call);
      } catch (error) {
        await this.#setAside(file, `it cannot be read: ${describeError(error)}`, report);
      }
    }
    calls.sort((one, other) => (one.time < other.time ? -1 : one.time > other.time ? 1 : 0));
    const overtaken = new Set(
      calls.filter(call => call.command === 'GC' && isOvertaken(call, calls)).map(networkOf),
    );
    const deadline = Date.now() + this.#limitMs;
    for (const call of calls) {
      if (this.#end.signal.aborted) break;
      const isOvertaken = call.command === 'GC' && overtaken.has(networkOf(call));
      try {
        if (isOvertaken) await this.#setAside(call.file, `${describeCall(call)} is out of date`, report);
        else await this.#completeOne(call, deadline, report);
      } catch (error) {
        this.#note(report.failed, `record ${call.file}: ${describeError(error)}`);
      }
    }
    rmSync(this.#marker, { force: true });
  }

  /** Names the record that is worked on, and how often that was begun: it shows a call that ends the process. */
  get #marker(): string {
    return `${this.#directory}/completing/now`;
  }

  #begin(name: string): number {
    let times = 1;
    try {
      const [was, count] = readFileSync(this.#marker, 'utf8').split(' ');
      if (was === name) times += Number(count) || 0;
    } catch {
      // The previous process did not end during a call.
    }
    try {
      writeFileSync(this.#marker, `${name} ${times}`, { mode: 0o600 });
    } catch {
      // The file system is full: the calls are completed without the count.
    }
    return times;
  }

  async #completeOne(call: RecordedCall, deadline: number, report: Completion): Promise<void> {
    const what = describeCall(call);
    if (this.#begin(basename(call.file)) > ENDS_MAX) {
      await this.#setAside(
        call.file,
        `the process ended ${ENDS_MAX} times while it completed ${what}`,
        report,
      );
      return;
    }
    const problem = await this.#run(call, Math.max(deadline - Date.now(), this.#limitMs * LATE_PART));
    // Not finished when the agent ended: the next one completes it.
    if (problem && this.#end.signal.aborted) return;
    if (problem === undefined) {
      await this.#remove(call);
      this.#failed.delete(call.file);
      this.#note(report.completed, `completed the recorded ${what}`);
    } else if (FINAL.includes(problem.code) || call.command === 'GC') {
      await this.#setAside(call.file, `${what}: ${problem.text}`, report);
    } else {
      const text = `the recorded ${what} failed and is tried again: ${problem.text}`;
      if (this.#failed.get(call.file)?.problem === text) report.failed.push(text);
      else this.#note(report.failed, text);
      this.#failed.set(call.file, { call, problem: text });
    }
  }

  async #run(call: RecordedCall, limitMs: number): Promise<{ code: number; text: string } | undefined> {
    const { signal } = this.#end;
    let stop = () => {};
    const late = new Promise<undefined>(resolve => {
      const timer = setTimeout(resolve, limitMs, undefined);
      stop = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
      signal.addEventListener('abort', stop, { once: true });
    });
    const work = (async () => this.#handle(requestNow(call, this.#host.namespaces), this.#host))();
    try {
      const response = await Promise.race([work, late]);
      if (response) return response.status === 0 ? undefined : readProblem(response.stdout);
      this.#unfinished.add(call.file);
      const settled = () => void this.#unfinished.delete(call.file);
      work.then(settled, settled);
      return { code: CODE.INTERNAL, text: `it was not finished after ${Math.round(limitMs)} ms` };
    } catch (error) {
      return { code: CODE.INTERNAL, text: describeError(error) };
    } finally {
      stop();
      signal.removeEventListener('abort', stop);
    }
  }

  /** Removes the completed record, but not a later one of the same name. */
  async #remove(call: RecordedCall): Promise<void> {
    await withFlock(this.#directory, () => {
      const found = lstatSync(call.file, { bigint: true, throwIfNoEntry: false });
      if (found?.ino === call.inode) rmSync(call.file, { force: true });
    });
  }

  async #setAside(file: string, why: string, report: Completion): Promise<void> {
    this.#failed.delete(file);
    const directory = `${this.#directory}/refused`;
    const kept = `${directory}/${basename(file)}`;
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      renameSync(file, kept);
      prune(directory);
    } catch (error) {
      // A record that cannot be moved, for example on a full file system, is deleted: otherwise it would be tried each time.
      rmSync(file, { recursive: true, force: true });
      this.#host.log(`recorded call ${file}: ${describeError(error)}`);
    }
    this.#note(report.refused, `set a recorded call aside as ${kept}: ${why}`);
  }

  #note(list: string[], text: string): void {
    list.push(text);
    this.#host.log(text);
  }
}

function readProblem(stdout: string): { code: number; text: string } {
  try {
    const { code, message, details } = decodeError(parseJson(stdout, 'error object'), 'error object');
    return { code, text: details ? `${message}: ${details}` : message };
  } catch {
    return { code: CODE.INTERNAL, text: stdout.trim() || 'no error object' };
  }
}

/** Keeps the newest. */
function prune(directory: string): void {
  const files = readdirSync(directory).map(name => `${directory}/${name}`);
  if (files.length <= REFUSED_MAX) return;
  const byAge = files.map(file => ({ file, time: statSync(file).mtimeMs })).sort((a, b) => b.time - a.time);
  for (const { file } of byAge.slice(REFUSED_MAX)) rmSync(file, { recursive: true, force: true });
}
