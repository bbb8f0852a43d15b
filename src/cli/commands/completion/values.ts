import { getJson } from '../../../api/client.ts';
import { VERDICTS } from '../../../dataplane/descriptor/verdicts.ts';
import { POINT_NAMES } from '../../../dataplane/tap/record-layout.ts';
import { EXPLANATIONS } from '../../../diagnose/explain/explanation.ts';

/** A shell waits for the answer with every press of the key. */
const TIMEOUT_MS = 500;

type Source = (socket: string) => readonly string[] | Promise<readonly string[]>;

const peers: Source = async socket =>
  (await getJson(socket, '/peers', { timeoutMs: TIMEOUT_MS })).map(({ node, address }) => node ?? address);
const devices: Source = async socket =>
  (await getJson(socket, '/captures', { timeoutMs: TIMEOUT_MS })).map(({ device }) => device);

const pods: Source = async socket =>
  (await getJson(socket, '/pods', { timeoutMs: TIMEOUT_MS }))
    .filter(({ until }) => until === null)
    .map(({ namespace, name }) => `${namespace}/${name}`);

/** By option, or by command and argument. */
const SOURCES: Readonly<Record<string, Source>> = {
  '--peer': peers,
  '--device': devices,
  '--pod': pods,
  '--src': pods,
  '--dst': pods,
  '--point': () => POINT_NAMES,
  '--verdict': () => ['drop', ...VERDICTS.map(({ name }) => name)],
  'explain name': () => EXPLANATIONS.map(({ name }) => name),
};

/** The values of an option or argument now; none where the agent does not answer. */
export async function valuesOf(name: string, socket: string): Promise<readonly string[] | undefined> {
  try {
    return await SOURCES[name]?.(socket);
  } catch {
    return undefined;
  }
}
