import { type ServiceError, status } from '@grpc/grpc-js';
import { messageOf, RipstopError } from '../../../base/errors.ts';
import { shorten } from '../../../base/text/shorten.ts';

/** Characters of an answer that are kept. */
const TEXT_MAX = 300;

const REACH_HINT = 'is a server of --etcd-endpoints up, and are its TLS files right?';
const RIGHTS_HINT =
  'check --etcd-username, --etcd-password, and that the role may read and write what docs/guides/operate/agent.md lists';

/** A failed call as a RipstopError in words of etcd, without those of the gRPC library. */
export function etcdError(error: unknown, endpoint: string, deadlineMs: number): RipstopError {
  if (error instanceof RipstopError) return error;
  const { code, details } = error as Partial<ServiceError>;
  const failed = (problem: string, hint?: string): RipstopError =>
    new RipstopError('ESTORE', `etcd: ${shorten(problem, TEXT_MAX)}`, hint, { cause: error });
  const text = etcdText(details || messageOf(error));
  switch (code) {
    case status.DEADLINE_EXCEEDED:
      return failed(`${endpoint} does not answer within ${deadlineMs / 1000} s`, REACH_HINT);
    case status.UNAVAILABLE:
      return failed(`${endpoint}: ${text}`, REACH_HINT);
    case status.PERMISSION_DENIED:
    case status.UNAUTHENTICATED:
      return failed(text, RIGHTS_HINT);
    case status.INVALID_ARGUMENT:
      return failed(text, isAboutUsers(text) ? RIGHTS_HINT : undefined);
    case status.RESOURCE_EXHAUSTED:
      return failed(text, /space exceeded/.test(text) ? SPACE_HINT : undefined);
    default:
      return failed(text);
  }
}

const SPACE_HINT =
  'compact and defragment etcd, or raise its quota, then clear the alarm: etcdctl alarm disarm';

/** Without the words of the gRPC library: where it tried to connect, its balancer, the numbers of its codes. */
function etcdText(details: string): string {
  const last = /Last error: (?:Error: )?([^\n]*?)(?:\. Resolution note:.*)?$/.exec(details)?.[1];
  const text = last ?? details;
  return text
    .replace(/^\d+ [A-Z_]+: /, '')
    .replace(/^rpc error: code = \w+ desc = /, '')
    .replace(/^etcdserver: /, '')
    .replace(/,?\s*(?:LB pick: [\d.]+s|name resolution: [\d.]+s|remote_addr=\S+)/g, '');
}

function isAboutUsers(text: string): boolean {
  return /user name|password|auth/.test(text);
}

/** True for an error of etcd that says that the role of this user lacks a right. */
export function isDenied(error: unknown): boolean {
  if (!(error instanceof RipstopError)) return false;
  return (error.cause as Partial<ServiceError> | undefined)?.code === status.PERMISSION_DENIED;
}

/** True when an answer was larger than this client accepts: fewer keys per page are. */
export function isTooLarge(error: unknown): boolean {
  const { code, details } = ((error as RipstopError).cause ?? {}) as Partial<ServiceError>;
  return code === status.RESOURCE_EXHAUSTED && /larger than max/.test(details ?? '');
}

export function isRefusedToken({ code, details }: ServiceError): boolean {
  return (
    code === status.UNAUTHENTICATED || /invalid auth token|revision of auth store is old/.test(details ?? '')
  );
}

/** True when another server of the cluster may answer. */
export function isUnreachable({ code }: Partial<ServiceError>): boolean {
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED;
}
