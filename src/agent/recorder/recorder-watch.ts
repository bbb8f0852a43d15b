import { basename } from 'node:path';
import { contain } from '../../base/boundary.ts';
import { describeError } from '../../base/errors.ts';
import { componentLog, type Log } from '../../base/log.ts';
import { writeRecording } from '../../capture/recorder/recording.ts';
import { FileSink } from '../../capture/sink/file-sink.ts';
import { VERDICTS } from '../../dataplane/dataplane.ts';
import type { Settings } from '../config/settings.ts';
import type { EventRecorder } from '../event-recorder.ts';
import type { Overlay } from '../overlay/overlay.ts';
import { Recordings } from './recordings.ts';
import { type Fired, type Observed, Triggers } from './triggers.ts';

const LOOK_MS = 1000;
/** Looks between two sums over all peers. */
const PEERS_EVERY = 5;
/** Newest frames that a recording has: about 5 MB. */
const FRAMES = 20_000;

const TOO_BIG = VERDICTS.findIndex(({ name }) => name === 'too-big');

interface WatchOptions {
  readonly stateDir: string;
  readonly overlays: () => readonly Overlay[];
  readonly settings: () => Settings | undefined;
  readonly log: Log;
  /** Records for a person what happened. */
  readonly recordEvent: (message: string) => void;
}

/** Freezes the flight recorders of this node into files when a trigger fires. */
export class RecorderWatch {
  readonly recordings: Recordings;
  readonly #options: WatchOptions;
  readonly #log: Log;
  readonly #triggers = new WeakMap<object, Triggers>();
  readonly #peers = new WeakMap<object, Observed['peers']>();
  #timer: NodeJS.Timeout | undefined;
  #looks = 0;
  /** Recordings are written one after another. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#log = componentLog(options.log, 'overlay');
    this.recordings = new Recordings(options.stateDir);
  }

  start(): void {
    this.#writing = this.recordings.removeUnfinished();
    this.#timer = setInterval(() => contain('recorder', () => this.look()), LOOK_MS).unref();
  }

  /** Resolves when no file is being written. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
  }

  /** Judges the overlays; `start` calls it once per second. */
  look(): void {
    const settings = this.#options.settings();
    if (!settings) return;
    const isPeersTurn = this.#looks++ % PEERS_EVERY === 0;
    for (const overlay of this.#options.overlays()) {
      const { recorder } = overlay;
      if (!recorder) continue;
      const triggers = this.#triggers.get(recorder) ?? new Triggers();
      this.#triggers.set(recorder, triggers);
      if (isPeersTurn) this.#peers.set(recorder, peersOf(overlay));
      const isReset = settings.triggerReset && !triggers.isQuiet('reset');
      for (const fired of triggers.look(this.#observe(overlay, isReset), settings))
        this.#freeze(overlay, fired);
    }
  }

  #observe({ recorder, plane }: Overlay, isReset: boolean): Observed {
    if (!recorder || !plane) throw new Error('bug: an overlay without a data plane');
    return {
      tooBig: recorder.journal.lost(TOO_BIG),
      lagMs: Math.max(plane.lag.egress.lastMs, plane.lag.ingress.lastMs),
      peers: this.#peers.get(recorder) ?? new Map(),
      reset: isReset ? recorder.findReset() : undefined,
    };
  }

  #freeze({ recorder, plan }: Overlay, { trigger, reason }: Fired): void {
    if (!recorder) return;
    const device = plan.device ?? '';
    const write = async (): Promise<void> => {
      await this.#prune();
      const path = await this.recordings.newPath(trigger, device);
      const about = `${device}: ${reason}`;
      const packets = await writeRecording(recorder, {
        framesPerWorker: Math.ceil(FRAMES / recorder.workers),
        reason: about,
        open: options => FileSink.open({ ...options, path }),
      });
      const text = `flight recorder frozen: ${about}: ${basename(path)}`;
      this.#log.warn({ trigger, device, file: path, packets }, text);
      this.#options.recordEvent(`${about}: ${path}`);
      await this.#prune();
    };
    this.#writing = this.#writing.then(() =>
      write().catch(error =>
        this.#log.error({ trigger, device }, `cannot write the flight recorder: ${describeError(error)}`),
      ),
    );
  }

  async #prune(): Promise<void> {
    for (const name of await this.recordings.prune()) this.#log.info({ file: name }, 'old recording removed');
  }
}

/** What the watch needs of an agent. */
interface Watched {
  readonly options: { readonly stateDir: string };
  readonly network:
    | {
        readonly overlays: readonly Overlay[];
        readonly inputs: { readonly settings: { readonly values: Settings } };
      }
    | undefined;
}

/** The watch of an agent. */
export function recorderOf(agent: Watched, events: EventRecorder, log: Log): RecorderWatch {
  return new RecorderWatch({
    stateDir: agent.options.stateDir,
    overlays: () => agent.network?.overlays ?? [],
    settings: () => agent.network?.inputs.settings.values,
    log,
    recordEvent: message => events.record('Warning', 'RipstopRecording', message),
  });
}

/** Sums by peer. */
function peersOf(overlay: Overlay): Observed['peers'] {
  const peers = Object.entries(overlay.counters()?.peers ?? {});
  return new Map(
    peers.map(([id, { egress, ingress }]) => [
      id,
      { lost: overlay.recorder?.journal.lostOfPeer(id) ?? 0, carried: egress.frames + ingress.frames },
    ]),
  );
}
