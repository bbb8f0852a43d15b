import { Readable } from 'node:stream';
import t from 'tap';
import { answerTrace } from '../../../src/api/trace.ts';

/** What the agent answers to a trace of a datagram with so many bytes, before it has a lease. */
async function answerTo(payloadBytes: number) {
  const packet = { source: '10.244.2.2', destination: '10.244.1.2', protocol: 'udp', size: 84 };
  const payload = Buffer.alloc(payloadBytes).toString('base64');
  const arrival = { from: '192.0.2.2', to: '192.0.2.1', payload };
  const body = JSON.stringify({ ...packet, sourcePort: 1, destinationPort: 2, arrival });
  const answer = { status: 0, text: '' };
  const response = {
    writeHead(status: number) {
      answer.status = status;
    },
    end(text: string) {
      answer.text = text;
    },
  };
  await answerTrace(Readable.from([body]) as never, response as never, undefined);
  return { status: answer.status, ...(JSON.parse(answer.text) as object) };
}

t.test('a payload that fits into no datagram is refused, and the limit is said', async t => {
  t.match(await answerTo(65_528), {
    status: 400,
    code: 'ECONFIG',
    error: /^arrival\.payload: 65528 bytes$/,
    hint: /at most 65527/,
  });
  t.match(await answerTo(65_527), { code: 'EAGENT', error: /no lease yet/ });
});
