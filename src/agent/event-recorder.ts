import { contain } from '../base/boundary.ts';
import type { LeaseStore, NodeEvent } from './lease/store.ts';

/** Records events of this node for a person, in a store that can. Nothing waits for the store. */
export class EventRecorder {
  readonly #store: Pick<LeaseStore, 'recordEvent'>;

  constructor(store: Pick<LeaseStore, 'recordEvent'>) {
    this.#store = store;
  }

  record(type: NodeEvent['type'], reason: string, message: string): void {
    contain('events', () => this.#store.recordEvent?.({ type, reason, message }));
  }
}
