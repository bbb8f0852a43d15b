import { connect } from 'node:net';
import { messageOf } from '../../../base/errors.ts';
import { anyValue, parseJson, readObject } from '../../../base/schema.ts';
import { under } from '../../config/fields.ts';
import { requirePrevResult, validAttachments } from '../../config/network.ts';
import { decodeError, decodeResult } from '../../result/decode.ts';
import type { Result } from '../../result/types.ts';
import { CniError, CODE } from '../../skel/errors.ts';
import type { Call, Plugin } from '../../skel/plugin.ts';
import { CURRENT_VERSION } from '../../skel/version.ts';
import { dhcpFields, readConfig, readSocket } from './config.ts';
import type { DhcpRequest } from './request.ts';

/** Asks the daemon. @throws CniError 11 when it does not answer, or the daemon's own error */
function ask(socket: string, request: DhcpRequest): Promise<Result | undefined> {
  return new Promise((resolve, reject) => {
    const late = (why: string) =>
      reject(
        new CniError(
          CODE.TRY_AGAIN_LATER,
          `error dialing DHCP daemon on ${socket}: ${why}`,
          'start it: `ripstop cni dhcp-daemon`',
        ),
      );
    const client = connect(socket, () => client.end(JSON.stringify(request)));
    let text = '';
    client.setEncoding('utf8').on('data', chunk => {
      text += chunk;
    });
    client.on('error', error => late(error.message));
    client.on('close', () => {
      if (text === '') return late('it ended while it worked on the request');
      try {
        const reply = readReply(text);
        if (reply instanceof CniError) reject(reply);
        else resolve(reply);
      } catch {
        // The reference plugins' daemon answers in words of HTTP.
        late("what listens there is not Ripstop's dhcp daemon");
      }
    });
  });
}

const replyFields = { result: anyValue('result of the method'), error: anyValue('error object of CNI') };

/** @throws for anything but a reply of our daemon */
function readReply(text: string): Result | CniError | undefined {
  const { result, error } = readObject(replyFields, parseJson(text, 'reply'), 'reply');
  if (error !== undefined) return decodeError(error, 'reply');
  return result === undefined ? undefined : decodeResult(result, CURRENT_VERSION, 'reply');
}

const attachment = (call: Call) => ({
  network: call.name,
  containerId: call.containerId,
  ifname: call.ifname,
});

async function add(call: Call): Promise<Result> {
  const { socket, provide, request, priority } = readConfig(call);
  const result = await ask(socket, {
    method: 'allocate',
    ...attachment(call),
    netns: call.netns,
    provide,
    request,
    priority,
  });
  if (!result) throw new CniError(CODE.INTERNAL, 'the DHCP daemon gave no result');
  return result;
}

/** Succeeds without a daemon, because the daemon drops leases without an interface when it starts again. */
async function del(call: Call): Promise<void> {
  const socket = readSocket(call);
  try {
    await ask(socket, { method: 'release', ...attachment(call) });
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== CODE.TRY_AGAIN_LATER) throw error;
    call.host.log(`dhcp: ${error.message}`);
  }
}

async function check(call: Call): Promise<void> {
  const socket = readSocket(call);
  const lease = await ask(socket, { method: 'check', ...attachment(call) });
  const previous = requirePrevResult(call);
  const address = lease?.ips[0]?.address;
  if (previous.ips.some(one => one.address === address)) return;
  throw new CniError(CODE.INTERNAL, `the lease is of ${address}, which is not in prevResult`);
}

async function gc(call: Call): Promise<void> {
  const socket = readSocket(call);
  await ask(socket, { method: 'collect', network: call.name, valid: validAttachments(call) });
}

async function status(call: Call): Promise<void> {
  const { socket } = readConfig(call);
  try {
    await ask(socket, { method: 'status', network: call.name });
  } catch (error) {
    throw new CniError(CODE.PLUGIN_UNAVAILABLE, messageOf(error));
  }
}

/** Addresses of a DHCP server of the network, by a daemon that keeps the leases. */
export const dhcp: Plugin = {
  name: 'dhcp',
  docs: {
    keys: under('ipam', dhcpFields),
    differences: [
      'The daemon keeps leases on disk (--statedir, /var/lib/cni/dhcp), so that a restart does not end renewals. A damaged file is logged and ignored.',
      'The daemon repeats a request after 2, 4, 8 s and so on, at most --timeout, until --resendtimeout. A DEL ends the ADD that still waits.',
      'Plugin and daemon must be of the same project; otherwise the call fails at once.',
    ],
  },
  add,
  del,
  check,
  gc,
  status,
};
