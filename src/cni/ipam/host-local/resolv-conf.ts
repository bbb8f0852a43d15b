import { hasCode, messageOf } from '../../../base/errors.ts';
import { fileSystemAnswers, readRegularFile } from '../../../base/files/regular-file.ts';
import type { Dns } from '../../result/types.ts';
import { CniError, CODE } from '../../skel/errors.ts';

/** DNS settings of a resolv.conf(5) text. As in the reference plugin several lines of `search` are one list; the last `domain` counts. */
function parseResolvConf(text: string): Dns {
  const dns: Dns = {};
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    const [first] = values;
    if (first === undefined) continue;
    if (keyword === 'nameserver') dns.nameservers = [...(dns.nameservers ?? []), first];
    else if (keyword === 'domain') dns.domain = first;
    else if (keyword === 'search') dns.search = [...(dns.search ?? []), ...values];
    else if (keyword === 'options') dns.options = [...(dns.options ?? []), ...values];
  }
  return dns;
}

/** @throws CniError 5 when the file cannot be read, 11 when its file system does not answer */
export async function readResolvConf(file: string): Promise<Dns> {
  try {
    await fileSystemAnswers(file);
    return parseResolvConf(readRegularFile(file));
  } catch (error) {
    const code = hasCode(error, 'EAGAIN') ? CODE.TRY_AGAIN_LATER : CODE.IO_FAILURE;
    throw new CniError(code, `ipam.resolvConf: ${messageOf(error)}`);
  }
}
