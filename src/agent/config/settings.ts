import { describeError } from '../../base/errors.ts';
import { type Field, fail, flag, integer, oneOf } from '../../base/schema.ts';
import { keyHint } from '../../base/suggest.ts';

/*
 * Settings of the data plane. Each can be given as a flag, as a key of the static file, and for the whole cluster as a key
 * of the object `Ripstop` in the backend of net-conf.json. This table is the only place where they are described.
 */

/** Settings of the data plane of a node. */
export interface Settings {
  readonly workers: number;
  readonly threadsPerQueue: 'auto' | 'one' | 'two';
  readonly busyPollMicroseconds: number;
  readonly sourcePorts: number;
  readonly txQueueLength: number;
  readonly flood: boolean;
  readonly copyDscp: boolean;
  readonly sourceCheck: 'strict' | 'off';
  readonly partialChecksums: 'auto' | 'accept' | 'refuse';
  readonly driver: 'native' | 'tuntap2';
  readonly flowTable: boolean;
  readonly recorder: 'off' | 'losses' | 'headers';
  readonly recorderMebibytes: number;
  readonly triggerPeerLoss: number;
  readonly triggerWorkerLag: number;
  readonly triggerTooBig: boolean;
  readonly triggerReset: boolean;
  readonly offloads: Readonly<Record<OffloadName, boolean>>;
}

export type OffloadName =
  | 'csum'
  | 'tso'
  | 'uso'
  | 'udpGso'
  | 'udpGro'
  | 'mergeTcp'
  | 'mergeUdp'
  | 'backpressure'
  | 'steering';
export type SettingName = Exclude<keyof Settings, 'offloads'> | `offloads.${OffloadName}`;
export type SettingValue = number | boolean | string;

/** Where a value was given. A flag or its variable takes precedence over the file, the file over the cluster. */
export type Origin = 'default' | 'cluster' | 'file' | 'flag';

export interface Setting {
  readonly fallback: SettingValue;
  readonly doc: string;
  /** Of a number. */
  readonly range?: readonly [number, number];
  readonly unit?: string;
  /** Of a text: the accepted values. */
  readonly words?: readonly string[];
}

const offload = (doc: string, fallback = true): Setting => ({ fallback, doc });

export const SETTINGS: Readonly<Record<SettingName, Setting>> = {
  workers: {
    fallback: 1,
    range: [1, 32],
    doc: 'number of device and UDP queues',
  },
  threadsPerQueue: {
    fallback: 'auto',
    words: ['auto', 'one', 'two'],
    doc: 'one: one thread serves both directions of a queue; two: each has its own; auto: two',
  },
  busyPollMicroseconds: {
    fallback: 200,
    range: [0, 10_000],
    unit: 'microseconds',
    doc: 'longest time that an idle worker polls before it sleeps; it adapts to the packet rate',
  },
  sourcePorts: {
    fallback: 16,
    range: [1, 64],
    doc: 'number of outer source ports that flows are spread over (vxlan)',
  },
  txQueueLength: {
    fallback: 1000,
    range: [1, 100_000],
    unit: 'packets',
    doc: 'packets that the device queues while the workers are busy',
  },
  flood: { fallback: false, doc: 'copy broadcast and multicast to every peer (head-end replication, vxlan)' },
  copyDscp: {
    fallback: false,
    doc: 'copy the DSCP of inner packets to the outer header; congestion marks (ECN) are carried in any case',
  },
  sourceCheck: {
    fallback: 'strict',
    words: ['strict', 'off'],
    doc: 'strict: drop a packet whose inner source its peer does not own, or whose destination is not on this node',
  },
  partialChecksums: {
    fallback: 'auto',
    words: ['auto', 'accept', 'refuse'],
    doc: 'inner checksums that a kernel peer on this host left partial; auto: accept where the underlay is a veth',
  },
  driver: {
    fallback: 'native',
    words: ['native', 'tuntap2'],
    doc: 'what makes the device: Ripstop, or the package node-tuntap2, which handles one packet per call',
  },
  flowTable: {
    fallback: false,
    doc: 'count flows all the time for `ripstop flows`; otherwise only while a client asks',
  },
  recorder: {
    fallback: 'losses',
    words: ['off', 'losses', 'headers'],
    doc: 'flight recorder: keep the headers of the last lost frames, or also of all frames of the last seconds',
  },
  recorderMebibytes: {
    fallback: 64,
    range: [1, 1024],
    unit: 'MiB',
    doc: 'memory per overlay for the headers of all frames, 160 bytes per frame: 64 MiB hold 4 s of 100,000 frames/s; used only when they are recorded',
  },
  triggerPeerLoss: {
    fallback: 1,
    range: [0, 100],
    unit: 'percent',
    doc: 'share of lost frames of a peer within 5 s above which the flight recorder is written to a file; 0: never',
  },
  triggerWorkerLag: {
    fallback: 1000,
    range: [0, 60_000],
    unit: 'milliseconds',
    doc: 'response time of a worker above which the flight recorder is written to a file; 0: never',
  },
  triggerTooBig: {
    fallback: false,
    doc: 'write the flight recorder to a file when a frame exceeds the path MTU; path MTU discovery causes this as well',
  },
  triggerReset: {
    fallback: true,
    doc: 'write the flight recorder to a file when a TCP connection that carried data is reset; needs `recorder: headers`',
  },
  'offloads.csum': offload('pods leave checksums to Ripstop; tso and uso need it'),
  'offloads.tso': offload('GSO packets with TCP from the device'),
  'offloads.uso': offload('GSO packets with UDP from the device (Linux 6.2)'),
  'offloads.udpGso': offload('several datagrams per message to the underlay (Linux 4.18)'),
  'offloads.udpGro': offload('several datagrams per message from the underlay (Linux 5.0)'),
  'offloads.mergeTcp': offload('coalesce TCP segments before they are written to the device'),
  'offloads.mergeUdp': offload('coalesce UDP datagrams before they are written to the device'),
  'offloads.backpressure': offload(
    'a full device queue holds packets in the qdisc instead of dropping them (IFF_BACKPRESSURE, Linux 7.3); not run here: no test machine has such a kernel',
    false,
  ),
  'offloads.steering': offload(
    'with several workers, a BPF program keeps each flow in one queue of the device (Linux 4.16, CAP_BPF)',
  ),
};

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

/** The values that one source gives. */
export type SettingLayer = ReadonlyMap<SettingName, SettingValue>;

/** A key of a source that has no right value. */
export interface SettingFault {
  /** The settings that the key concerns; none for a key that is not known. */
  readonly names: readonly SettingName[];
  readonly message: string;
}

/** Settings that a network configuration gives: for the cluster, or of a static file. */
export interface NetworkSettings {
  readonly origin: 'cluster' | 'file';
  readonly values: SettingLayer;
  /** Keys without a right value: a node keeps the present one. */
  readonly faults: readonly SettingFault[];
}

/** The reader of one setting, for a configuration file. */
export function settingField({ fallback, range, words, unit, doc }: Setting): Field {
  if (range) return integer(range[0], range[1], doc, unit);
  if (words) return oneOf(words, doc);
  return typeof fallback === 'boolean' ? flag(doc) : fail('settings', `no reader for ${fallback}`);
}

/** Name of the flag of a setting: `offloads.udpGso` is `--offload-udp-gso`. */
export function settingFlag(name: SettingName): string {
  return name.replace('offloads.', 'offload-').replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);
}

/**
 * Reads the object `Ripstop` of the cluster. A key with a wrong value is a fault and the others count: one wrong character
 * in the configuration of a cluster must not stop its nodes. The case of a key does not count, as elsewhere in net-conf.json.
 */
export function readClusterSettings(
  raw: unknown,
  where: string,
): { values: SettingLayer; faults: readonly SettingFault[] } {
  const values = new Map<SettingName, SettingValue>();
  const faults: SettingFault[] = [];
  const read = (object: unknown, path: string, prefix: string): void => {
    if (typeof object !== 'object' || object === null || Array.isArray(object)) {
      const names = SETTING_NAMES.filter(name => name.startsWith(prefix));
      faults.push({ names, message: `${path}: must be a JSON object` });
      return;
    }
    for (const [key, value] of Object.entries(object)) {
      const at = `${path}.${key}`;
      if (prefix === '' && key.toLowerCase() === 'offloads') read(value, at, 'offloads.');
      else readOne(at, `${prefix}${key}`, value);
    }
  };
  const readOne = (at: string, key: string, value: unknown): void => {
    const name = SETTING_NAMES.find(candidate => candidate.toLowerCase() === key.toLowerCase());
    if (name === undefined) {
      faults.push({ names: [], message: `${at}: unknown key; ${keyHint(key, SETTING_NAMES)}` });
      return;
    }
    try {
      values.set(name, settingField(SETTINGS[name]).read(value, at) as SettingValue);
    } catch (error) {
      faults.push({ names: [name], message: describeError(error) });
    }
  };
  if (raw !== undefined) read(raw, where, '');
  return { values, faults };
}

/** The settings in force, with the origin of each. */
export class ResolvedSettings {
  readonly #values: ReadonlyMap<SettingName, { readonly value: SettingValue; readonly origin: Origin }>;
  /** Values of the cluster that are not used, one sentence per value. */
  readonly faults: readonly string[];
  /** The values of the configuration that are used. */
  readonly given: SettingLayer;

  constructor(
    layers: Readonly<Partial<Record<Exclude<Origin, 'default'>, SettingLayer>>>,
    faults: readonly string[] = [],
  ) {
    this.faults = faults;
    this.given = layers.file ?? layers.cluster ?? new Map();
    this.#values = new Map(
      SETTING_NAMES.map(name => {
        const origin = (['flag', 'file', 'cluster'] as const).find(candidate => layers[candidate]?.has(name));
        const given = origin && layers[origin]?.get(name);
        return [name, { value: given ?? SETTINGS[name].fallback, origin: origin ?? 'default' }];
      }),
    );
  }

  get values(): Settings {
    const result: Record<string, unknown> = {};
    const offloads: Record<string, unknown> = {};
    for (const [name, { value }] of this.#values) {
      const [group, key] = name.split('.');
      if (key !== undefined) offloads[key] = value;
      else if (group !== undefined) result[group] = value;
    }
    return { ...result, offloads } as unknown as Settings;
  }

  list(): { name: SettingName; value: SettingValue; origin: Origin }[] {
    return Array.from(this.#values, ([name, { value, origin }]) => ({ name, value, origin }));
  }

  /** What is different from `former`, for a log line: `workers is 2 (cluster), was 1`. */
  changesFrom(former: ResolvedSettings): string[] {
    return this.list().flatMap(({ name, value, origin }) => {
      const before = former.#values.get(name)?.value;
      return before === value ? [] : [`${name} is ${value} (${origin}), was ${before}`];
    });
  }
}

/** Settings of which the values may be impossible in combination. The first is kept back if that is enough. */
const DEPENDENT = ['driver', 'workers'] as const;

/**
 * Resolves the settings under a configuration. Of a key of the cluster that has a wrong value, or one that cannot work on
 * this node, the present value stays.
 * @param present values that the configuration gave last
 * @param problemOf the reason why this node cannot work by such settings; undefined: it can
 */
export function resolveSettings(
  flag: SettingLayer,
  { origin, values, faults }: NetworkSettings,
  present: SettingLayer,
  problemOf: (settings: Settings) => string | undefined,
): ResolvedSettings {
  const messages = faults.map(({ message }) => message);
  const given = withPresent(
    values,
    present,
    faults.flatMap(({ names }) => names),
  );
  const settings = new ResolvedSettings({ flag, [origin]: given }, messages);
  const problem = origin === 'cluster' ? problemOf(settings.values) : undefined;
  if (problem === undefined) return settings;
  for (const name of DEPENDENT) {
    const possible = withPresent(given, present, [name]);
    const all = [...messages, `Backend.Ripstop.${name}: ${problem}`];
    const others = new ResolvedSettings({ flag, cluster: possible }, all);
    if (problemOf(others.values) === undefined) return others;
  }
  return settings;
}

/** `layer` with the present values of `names`. */
function withPresent(
  layer: SettingLayer,
  present: SettingLayer,
  names: readonly SettingName[],
): SettingLayer {
  const result = new Map(layer);
  for (const name of names) {
    const value = present.get(name);
    if (value === undefined) result.delete(name);
    else result.set(name, value);
  }
  return result;
}
