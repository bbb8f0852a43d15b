import { hostname } from 'node:os';
import { jsonSchema } from '../../base/schema.ts';
import { Bundle } from '../../diagnose/report/bundle.ts';
import { Pseudonyms } from '../../diagnose/report/pseudonyms.ts';
import { parseAddress } from '../../ip/address.ts';
import { ANSWER_FILES, FILE_FIELDS } from './files.ts';

/** Keys of the JSON whose texts are names, with the word for their pseudonyms. */
const NAME_KEYS: Readonly<Record<string, string>> = {
  node: 'node',
  pod: 'pod',
  namespace: 'namespace',
};
/** Namespaces that every cluster has. */
const COMMON = ['default', 'kube-system', 'kube-public', 'kube-node-lease', 'kube-flannel'];
/** Keys whose texts have hosts in URLs. */
const PLACE_KEYS = ['location', 'endpoint'];

/**
 * The bundle with pseudonyms instead of names and addresses. The log, whose texts may have names that no answer has, and captures,
 * whose bytes stay, are left out.
 */
export function pseudonymized(bundle: Bundle): Bundle {
  const pseudonyms = new Pseudonyms();
  pseudonyms.addNames('node', namesOf(hostname()));
  for (const [file, value] of bundle.files) {
    if (value instanceof Uint8Array) continue;
    eachText(value, (text, key) => {
      const kind = NAME_KEYS[key];
      if (kind !== undefined)
        pseudonyms.addNames(
          kind,
          text
            .split('/')
            .filter(name => !COMMON.includes(name))
            .flatMap(namesOf),
        );
      if (PLACE_KEYS.includes(key)) pseudonyms.addNames('node', hostsIn(text));
      // In the records of nodes, leases and peers a name is one of a node, unless it begins with an address.
      const isNode =
        (file === 'agent/node.json' && key === 'name') ||
        ((key === 'id' || key === 'key') && !beginsWithAddress(text));
      if (isNode) pseudonyms.addNames('node', namesOf(text));
    });
    pseudonyms.learn(value);
  }
  const replaced = new Bundle();
  for (const [file, value] of bundle.files) {
    const field = FILE_FIELDS[file];
    if (file === ANSWER_FILES['/log'])
      replaced.lack(file, 'its texts may hold names that --pseudonyms does not know; send it apart');
    else if (field) replaced.files.set(file, pseudonyms.replaceValue(value, jsonSchema(field)));
    else replaced.lack(file, 'its bytes hold names and addresses, which --pseudonyms does not replace there');
  }
  for (const { what, why } of bundle.missing) replaced.lack(what, pseudonyms.replace(why));
  return replaced;
}

/** Keys of leases are written `10.244.1.0-24`. */
function beginsWithAddress(text: string): boolean {
  return parseAddress(text.replace(/-.*$/s, '')) !== undefined;
}

function eachText(value: unknown, use: (text: string, key: string) => void, key = ''): void {
  if (typeof value === 'string') use(value, key);
  else if (Array.isArray(value)) for (const item of value) eachText(item, use, key);
  else if (typeof value === 'object' && value !== null)
    for (const [name, part] of Object.entries(value)) eachText(part, use, name);
}

/** A name, and the first label of one with a domain. */
function namesOf(name: string): string[] {
  return [name, name.replace(/\..*$/, '')];
}

function hostsIn(location: string): string[] {
  return [...location.matchAll(/\w+:\/\/([\w.-]+)/g)].flatMap(([, host = '']) => namesOf(host));
}
