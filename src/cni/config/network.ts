import { listOf, required, text } from '../../base/schema.ts';
import { decodeResult } from '../result/decode.ts';
import { type Dns, dnsField, type Result } from '../result/types.ts';
import { CniError, CODE } from '../skel/errors.ts';
import type { Call } from '../skel/plugin.ts';
import { passthroughObject, readIgnoringUnknown } from './ignore-unknown.ts';

/** `dns` of a network configuration, or undefined when the key is absent: the two differ where it replaces IPAM's. */
export function readDns(config: Record<string, unknown>): Dns | undefined {
  return readIgnoringUnknown({ dns: dnsField }, config, '').dns;
}

/** DNS settings of a result: those of the network where it has any, otherwise those of the address plugin. */
export function preferredDns(ofNetwork: Dns | undefined, ofIpam: Dns): Dns {
  return ofNetwork && Object.keys(ofNetwork).length > 0 ? ofNetwork : ofIpam;
}

/** The earlier plugins' result, or undefined at the head of a chain. @throws CniError 6 */
export function readPrevResult(call: Call): Result | undefined {
  const raw = call.config.prevResult;
  return raw === undefined || raw === null ? undefined : decodeResult(raw, call.version, 'prevResult');
}

/**
 * The earlier plugins' result, for a plugin that only works in a chain.
 * @param missing the sentence of the reference plugin
 * @throws CniError 7 without one
 */
export function requirePrevResult(call: Call, missing = 'must be called as chained plugin'): Result {
  const result = readPrevResult(call);
  if (result) return result;
  throw new CniError(
    CODE.INVALID_CONFIG,
    call.command === 'CHECK' ? 'Required prevResult missing' : missing,
    `prevResult: the ${call.config.type ?? 'plugin'} plugin works on the result of an earlier one`,
  );
}

const attachmentField = passthroughObject(
  {
    containerID: required(text('a container id', 'container of an attachment', /./)),
    ifname: required(text('an interface name', 'interface of an attachment', /./)),
  },
  'an attachment',
);
export const attachmentsField = listOf(attachmentField, 'attachments to keep');
export type Attachment = ReturnType<typeof attachmentField.read>;

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
  return attachmentsField.read(call.config[key] ?? [], key);
}
