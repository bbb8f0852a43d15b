import { readFileSync } from 'node:fs';
import { messageOf } from '../../../base/errors.ts';
import type { Dns } from '../../result/types.ts';
import { CniError, CODE } from '../../skel/errors.ts';

/** DNS settings of a resolv.conf(5) text; of several `domain` or `search` lines the last one counts. */
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
    else if (keyword === 'search') dns.search = values;
    else if (keyword === 'options') dns.options = [...(dns.options ?? []), ...values];
  }
  return dns;
}

/** @throws CniError 5 when the file cannot be read */
export function readResolvConf(file: string): Dns {
  try {
    return parseResolvConf(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new CniError(CODE.IO_FAILURE, `ipam.resolvConf: ${messageOf(error)}`);
  }
}
