import { oneOf, parseJson, readObject, required, type Shape } from '../../../base/schema.ts';
import { readIgnoringUnknown } from '../../config/ignore-unknown.ts';
import { attachmentsField } from '../../config/network.ts';
import { attachmentFields, requestFields } from './lease-files.ts';

/*
 * What the plugin asks of the daemon: one JSON object per connection, answered by one, `{result}` or `{error}`.
 */

const { network } = attachmentFields;

/** The methods and their parameters. */
const METHODS = {
  allocate: { ...attachmentFields, ...requestFields },
  release: attachmentFields,
  check: attachmentFields,
  collect: { network, valid: required(attachmentsField) },
  status: { network },
};
type Method = keyof typeof METHODS;

export type DhcpRequest = { [M in Method]: { method: M } & Shape<(typeof METHODS)[M]> }[Method];

const methodField = required(oneOf(Object.keys(METHODS) as Method[], 'what to do'));

/** @throws RipstopError ECONFIG */
export function readRequest(source: string): DhcpRequest {
  const raw = parseJson(source, 'request');
  const { method } = readIgnoringUnknown({ method: methodField }, raw, 'request');
  return readObject({ method: methodField, ...METHODS[method] }, raw, 'request') as DhcpRequest;
}
