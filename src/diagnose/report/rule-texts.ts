import type { FilterSources } from '../../net/filter/filter-sources.ts';

/*
 * Rule sets reduced to what is known to hold no secret: texts that a person or a program may choose freely (comments, log prefixes,
 * strings to match) are withheld. A trace reads the rest as it reads the rules of the kernel.
 */

const WITHHELD = '<withheld>';

/** Options of iptables whose values are addresses, numbers, interfaces, chains and words of the kernel. */
const OPTIONS = new Set([
  ...['-A', '-s', '-d', '-i', '-o', '-p', '-m', '-j', '-g', '-f'],
  ...['--dport', '--sport', '--dports', '--sports', '--ports', '--ctstate', '--state', '--ctdir', '--mark'],
  ...['--set-xmark', '--set-mark', '--or-mark', '--and-mark', '--xor-mark', '--save-mark', '--restore-mark'],
  ...['--nfmask', '--ctmask', '--to-destination', '--to-source', '--to-ports', '--random', '--random-fully'],
  ...['--persistent', '--tcp-flags', '--syn', '--icmp-type', '--icmpv6-type', '--limit', '--limit-burst'],
  ...[
    '--src-type',
    '--dst-type',
    '--limit-iface-in',
    '--limit-iface-out',
    '--mode',
    '--probability',
    '--every',
  ],
  ...[
    '--packet',
    '--match-set',
    '--reject-with',
    '--set-mss',
    '--clamp-mss-to-pmtu',
    '--mss',
    '--physdev-in',
  ],
  ...['--physdev-out', '--physdev-is-bridged', '--dst-range', '--src-range', '--mac-source', '--loose'],
  ...[
    '--invert',
    '--validmark',
    '--accept-local',
    '--checksum-fill',
    '--notrack',
    '--pol',
    '--dir',
    '--length',
  ],
]);
const TABLE_LINE = /^(\*\w+|:[\w.-]+ \S+ \[\d+:\d+\]|COMMIT)$/;

/** Options whose value is a free text, which may begin like an option. */
const FREE_TEXTS = /^--(comment|log-prefix|nflog-prefix|ulog-prefix|string|hex-string|selctx)$/;

/** Statements of libnftables' JSON that are kept; another one could hold any text. */
const STATEMENTS = new Set([
  ...['match', 'counter', 'accept', 'drop', 'continue', 'return', 'jump', 'goto', 'reject', 'vmap', 'limit'],
  ...['masquerade', 'snat', 'dnat', 'redirect', 'mangle', 'notrack', 'ct count', 'quota', 'last', 'queue'],
  ...['xt', 'fwd', 'dup', 'tproxy', 'flow', 'connlimit', 'set', 'map'],
]);
const OBJECTS = new Set(['table', 'chain', 'rule', 'set', 'map', 'element', 'flowtable', 'counter']);

/** The rules without the texts that anyone may choose. */
export function withoutComments({ iptables, nftables }: FilterSources): FilterSources {
  return {
    iptables: iptables.map(({ lines, ...table }) => ({ ...table, lines: cleanIptables(lines) })),
    nftables: nftables.flatMap(object =>
      Object.entries(object)
        .filter(([kind]) => OBJECTS.has(kind))
        .map(([kind, value]) => ({ [kind]: cleanNft(value) })),
    ),
  };
}

function cleanNft(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleanNft);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== 'comment')
      .map(([key, part]) => [
        key,
        key === 'expr' && Array.isArray(part) ? part.map(cleanStatement) : cleanNft(part),
      ]),
  );
}

function cleanStatement(statement: unknown): unknown {
  if (typeof statement !== 'object' || statement === null) return statement;
  if ('log' in statement) return { log: null };
  const isKnown = Object.keys(statement).every(name => STATEMENTS.has(name));
  return isKnown ? cleanNft(statement) : { withheld: null };
}

/** Lines of `iptables-save` with the values of all options withheld that are not in the list above. */
function cleanIptables(lines: readonly string[]): string[] {
  return lines
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => (TABLE_LINE.test(line) ? line : cleanRule(line)));
}

function cleanRule(line: string): string {
  const words = line.match(/"(?:[^"\\]|\\.)*"?|[^\s"]+/g) ?? [];
  let isKnown = false;
  let isText = false;
  const kept = words.map(word => {
    if (isText) {
      isText = false;
      return WITHHELD;
    }
    if (word === '!') return word;
    if (/^--?[a-z]/i.test(word)) {
      isText = FREE_TEXTS.test(word);
      isKnown = OPTIONS.has(word);
      return isKnown || isText ? word : '--withheld';
    }
    return isKnown && !word.startsWith('"') ? word : WITHHELD;
  });
  return kept.join(' ');
}
