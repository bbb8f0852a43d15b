import { listOf, text } from '../../base/schema.ts';
import { decodeResult } from '../result/decode.ts';
import type { Dns, Result } from '../result/types.ts';
import { CniError, CODE, refuse } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import { passthroughObject, readIgnoringUnknown } from './ignore-unknown.ts';

const dnsFields = {
  nameservers: listOf(text('an address', 'DNS servers, in order of preference'), 'DNS servers'),
  domain: text('a domain', 'local domain for short names'),
  search: listOf(text('a domain', 'search domain'), 'search domains'),
  options: listOf(text('an option', 'resolver option'), 'resolver options'),
};

/** `dns` of a network configuration, or undefined when the key is absent: the two differ where it replaces IPAM's. */
export function readDns(config: Record<string, unknown>): Dns | undefined {
  const { dns } = readIgnoringUnknown({ dns: passthroughObject(dnsFields, 'resolver settings') }, config, '');
  if (!dns) return undefined;
  const { nameservers, domain, search, options } = dns;
  return {
    ...(nameservers ? { nameservers } : {}),
    ...(domain ? { domain } : {}),
    ...(search ? { search } : {}),
    ...(options ? { options } : {}),
  };
}

/** The earlier plugins' result, or undefined at the head of a chain. @throws CniError 6 */
export function readPrevResult(call: Call): Result | undefined {
  const raw = call.config.prevResult;
  return raw === undefined || raw === null ? undefined : decodeResult(raw, call.version, 'prevResult');
}

/** The earlier plugins' result for a plugin that cannot stand alone. @throws CniError 7 when there is none */
export function requirePrevResult(call: Call): Result {
  const result = readPrevResult(call);
  if (result) return result;
  throw new CniError(
    CODE.INVALID_CONFIG,
    call.command === 'CHECK' ? 'Required prevResult missing' : 'must be called as chained plugin',
    `prevResult: the ${call.config.type ?? 'plugin'} plugin works on the result of an earlier one`,
  );
}

export interface Attachment {
  containerID: string;
  ifname: string;
}

const attachmentFields = {
  containerID: text('a container id', 'container of an attachment'),
  ifname: text('an interface name', 'interface of an attachment'),
};

/**
 * The attachments that GC has to keep. A missing list is refused: read as an empty one it would take the network
 * from every running pod. An explicit null or [] means that there are none.
 * @throws CniError 7
 */
export function validAttachments(call: Call): Attachment[] {
  const key = ['cni.dev/valid-attachments', 'cni.dev/attachments'].find(name =>
    Object.hasOwn(call.config, name),
  );
  if (!key) {
    throw new CniError(
      CODE.INVALID_CONFIG,
      'cni.dev/valid-attachments: is missing',
      'GC takes the attachments to keep',
    );
  }
  const raw = call.config[key] ?? [];
  if (!Array.isArray(raw)) refuse(key, 'must be a list');
  return raw.map((item, index) => {
    const { containerID, ifname } = readIgnoringUnknown(attachmentFields, item, `${key}[${index}]`);
    if (!containerID || !ifname) refuse(`${key}[${index}]`, 'needs containerID and ifname');
    return { containerID, ifname };
  });
}
