import { readdirSync } from 'node:fs';
import { removeWithTemp, writeFileAtomicSync } from '../../../base/atomic-file.ts';
import { describeError, hasCode, messageOf } from '../../../base/errors.ts';
import { fileSystemAnswers, readRegularFile } from '../../../base/files/regular-file.ts';
import { listOf, parseJson, readObject, required, text } from '../../../base/schema.ts';
import { BusError, SystemBus } from '../../../net/dbus/system-bus.ts';
import { readPrevResult } from '../../config/network.ts';
import { callTag, staleTags } from '../../link/tag.ts';
import { isV6 } from '../../result/types.ts';
import type { RuleBackend } from '../../rules/backend.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { Call } from '../../skel/plugin.ts';
import { type FirewallRules, podAddresses, readPlace } from './config.ts';

/*
 * firewalld accepts what comes from the sources of a zone. The sources of pods are added to its running configuration, as by the
 * reference plugin, and end with it. They have no name there, so a record per attachment has them: that finds them on DEL
 * without addresses and on GC. The records are in /run, which ends with the running configuration at the latest.
 */

const FIREWALLD = {
  destination: 'org.fedoraproject.FirewallD1',
  path: '/org/fedoraproject/FirewallD1',
  interface: 'org.fedoraproject.FirewallD1.zone',
} as const;

const recordFields = {
  zone: required(text('a zone', 'zone of the sources', /./)),
  sources: required(listOf(text('a prefix', 'address of the pod', /./), 'addresses of the pod')),
};
const SUFFIX = '.json';

interface SourceRecord {
  tag: string;
  zone: string;
  sources: string[];
}

/** The records of all attachments; one that cannot be read is none. */
function listRecords(directory: string): SourceRecord[] {
  let names: string[];
  try {
    names = readdirSync(directory).filter(name => name.endsWith(SUFFIX));
  } catch {
    return [];
  }
  return names.flatMap(name => {
    try {
      const file = `${directory}/${name}`;
      const record = readObject(recordFields, parseJson(readRegularFile(file), file), file);
      return [{ tag: name.slice(0, -SUFFIX.length), ...record }];
    } catch {
      return [];
    }
  });
}

const fileOf = (directory: string, tag: string) => `${directory}/${tag}${SUFFIX}`;
const sourceOf = (address: string) => `${address}/${isV6(address) ? 128 : 32}`;

function withBus<T>({ env }: Call, work: (bus: SystemBus) => Promise<T>): Promise<T> {
  return SystemBus.with(env.DBUS_SYSTEM_BUS_ADDRESS ?? process.env.DBUS_SYSTEM_BUS_ADDRESS, work);
}

/** True where firewalld runs; a node without a bus has none. @throws RipstopError EAGAIN when the bus does not answer */
export async function isFirewalldRunning(call: Call): Promise<boolean> {
  try {
    return await withBus(call, bus => bus.hasOwner(FIREWALLD.destination));
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ECONNREFUSED', 'EACCES')) return false;
    throw error;
  }
}

/** Removes sources from where firewalld has them; without a running firewalld there are none. */
async function removeSources(call: Call, records: readonly Omit<SourceRecord, 'tag'>[]): Promise<void> {
  if (records.length === 0 || !(await isFirewalldRunning(call))) return;
  await withBus(call, async bus => {
    for (const { zone, sources } of records)
      for (const source of sources)
        try {
          await bus.call({ ...FIREWALLD, member: 'removeSource' }, [zone, source]);
        } catch (error) {
          // As when a reload has removed it. The reference plugin ignores every failure here.
          if (!(error instanceof BusError)) throw error;
        }
  });
}

async function removeRecords(call: Call, records: readonly SourceRecord[]): Promise<void> {
  await removeSources(call, records);
  const { dataDir } = readPlace(call);
  for (const { tag } of records) removeWithTemp(fileOf(dataDir, tag));
}

async function addSource(bus: SystemBus, zone: string, source: string): Promise<void> {
  try {
    await bus.call({ ...FIREWALLD, member: 'addSource' }, [zone, source]);
  } catch (error) {
    if (!(error instanceof BusError) || error.message.includes('ZONE_ALREADY_SET')) return;
    throw new CniError(
      CODE.INTERNAL,
      `failed to add the address ${source} to ${zone} zone: ${messageOf(error)}`,
      error.name,
    );
  }
}

export const firewalldZone: RuleBackend<FirewallRules> = {
  async add(call, { zone, dataDir, addresses }) {
    const tag = callTag(call);
    const sources = addresses.map(sourceOf);
    await fileSystemAnswers(dataDir);
    // Other attachments with these addresses: those pods no longer exist, and their DEL would remove our sources.
    const isDisplaced = (one: SourceRecord) =>
      one.tag !== tag && one.sources.some(other => sources.includes(other));
    await removeRecords(call, listRecords(dataDir).filter(isDisplaced));
    // Written first: what a crash leaves has to be found.
    writeFileAtomicSync(fileOf(dataDir, tag), JSON.stringify({ zone, sources }), 0o600);
    await withBus(call, async bus => {
      for (const source of sources) await addSource(bus, zone, source);
    });
  },

  /** Sources that the reference plugin has added are found by the addresses, where a previous result has them. */
  async remove(call) {
    const { zone, dataDir } = readPlace(call);
    const tag = callTag(call);
    await fileSystemAnswers(dataDir);
    const own = listRecords(dataDir).find(one => one.tag === tag);
    if (own) return removeRecords(call, [own]);
    const previous = readPrevResult(call);
    const sources = previous ? podAddresses(previous).map(sourceOf) : [];
    try {
      await removeSources(call, sources.length > 0 ? [{ zone, sources }] : []);
    } catch (error) {
      // Most pods are in another back end: a bus that does not answer must not keep them.
      call.host.log(`firewall: ${describeError(error)}`);
    }
  },

  async check(call, { zone, addresses }) {
    if (!(await isFirewalldRunning(call))) return [...addresses];
    return withBus(call, async bus => {
      const missing: string[] = [];
      for (const address of addresses) {
        const isThere = await bus.call({ ...FIREWALLD, member: 'querySource' }, [zone, sourceOf(address)]);
        if (isThere !== true) missing.push(address);
      }
      return missing;
    });
  },

  async gc(call, valid) {
    const { dataDir } = readPlace(call);
    const isStale = staleTags(call.name, valid);
    await fileSystemAnswers(dataDir);
    await removeRecords(
      call,
      listRecords(dataDir).filter(one => isStale(one.tag)),
    );
  },
};
