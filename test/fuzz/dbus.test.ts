import t from 'tap';
import { decodeMessage, encodeCall, messageLength } from '../../src/net/dbus/message.ts';
import { campaign } from './campaign/campaign.ts';

/* Messages of D-Bus that are cut, flipped or made up: read, or refused with a RangeError. */

const method = {
  destination: 'org.fedoraproject.FirewallD1',
  path: '/org/fedoraproject/FirewallD1',
  interface: 'org.fedoraproject.FirewallD1.zone',
  member: 'addSource',
};

t.test('damaged messages of D-Bus', t =>
  campaign(t, {
    name: 'dbus',
    seeds: [encodeCall(1, method, ['trusted', '10.0.0.1/32']), encodeCall(2, method, [])],
    parse(bytes) {
      const buffer = Buffer.from(bytes);
      const length = messageLength(buffer);
      if (length === undefined || length > buffer.length) return false;
      try {
        decodeMessage(buffer.subarray(0, length));
        return true;
      } catch (error) {
        if (error instanceof RangeError) return false;
        throw error;
      }
    },
  }),
);
