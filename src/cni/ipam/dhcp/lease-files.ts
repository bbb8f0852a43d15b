import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { listFiles, removeWithTemp, writeFileAtomicSync } from '../../../base/atomic-file.ts';
import { describeError } from '../../../base/errors.ts';
import {
  type Field,
  fail,
  integer,
  listOf,
  objectOf,
  readJson,
  required,
  type Shape,
  text,
} from '../../../base/schema.ts';
import { tagOf } from '../../link/tag.ts';

/** Which lease it is. */
export const attachmentFields = {
  network: required(text('a network name', 'network of the attachment')),
  containerId: required(text('a container id', 'container of the attachment')),
  ifname: required(text('an interface name', 'interface of the attachment')),
};
export type LeaseKey = Shape<typeof attachmentFields>;

const optionFields = {
  code: required(integer(0, 255, 'code of the option')),
  hex: required(text('hexadecimal digits', 'value of the option', /^([0-9a-f]{2})*$/i)),
};
const optionList = (doc: string) => required(listOf(objectOf(optionFields, 'an option'), doc));
const address = (doc: string): Field<string> => ({
  type: 'an IPv4 address',
  doc,
  read: (raw, where) =>
    typeof raw === 'string' && isIPv4(raw)
      ? raw
      : fail(where, `${JSON.stringify(raw)} is not an IPv4 address`),
});

/** What of the network's configuration belongs to a lease. */
export const requestFields = {
  netns: required(text('a path', "the pod's namespace")),
  provide: optionList('options that are sent'),
  request: required(listOf(integer(0, 255, 'code of an option'), 'options that are asked for')),
  priority: required(integer(0, 0x7fffffff, 'metric of the routes')),
};

/** One lease as it is stored on disk. */
const storedFields = {
  ...attachmentFields,
  ...requestFields,
  link: required(integer(1, 0x7fffffff, 'index of the interface: a later one of the same name has no lease')),
  address: required(address('address of the lease')),
  server: required(address('server that gave it')),
  options: optionList('options of the acknowledgement'),
  grantedAt: required(integer(0, Number.MAX_SAFE_INTEGER, 'time of the acknowledgement', 'ms since 1970')),
};
export type StoredLease = Shape<typeof storedFields>;

/** The daemon's leases on disk, so that it can be restarted while pods run. */
export class LeaseFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  #file({ network, containerId, ifname }: LeaseKey): string {
    return `${this.#directory}/${tagOf(network, containerId, ifname)}.json`;
  }

  /** @throws errors of the file system */
  write(lease: StoredLease): void {
    writeFileAtomicSync(this.#file(lease), JSON.stringify(lease), 0o600);
  }

  remove(lease: LeaseKey): void {
    removeWithTemp(this.#file(lease));
  }

  /** All leases; a file that holds none is left alone and logged: one damaged file must not stop the daemon. */
  list(log: (line: string) => void): StoredLease[] {
    const files = listFiles(this.#directory).filter(name => name.endsWith('.json'));
    return files.flatMap(name => {
      const file = `${this.#directory}/${name}`;
      try {
        return [readJson(objectOf(storedFields, ''), readFileSync(file, 'utf8'), file)];
      } catch (error) {
        log(`dhcp: ignoring a damaged lease: ${describeError(error)}`);
        return [];
      }
    });
  }
}
