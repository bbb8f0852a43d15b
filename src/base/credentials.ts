/** A URL for display, without user and password. A text that is not a URL loses all before its last `@`. */
export function withoutCredentials(text: string): string {
  if (!text.includes('@')) return text;
  const url = /^\w+:\/\//.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (!url) return text.replace(/^(.*?:\/\/)?.*@/s, '$1');
  url.username = '';
  url.password = '';
  return url.href;
}

const WITHHELD = '<withheld>';
/** Names of what is secret: `password`, `ETCD_PASSWORD`, `preSharedKey`, `client-key-data`, `psk`. */
const SECRET_NAME =
  /passw(?:or)?d|passphrase|secret|token|psk|pre-?_?shared|private-?_?key|api-?_?key|client-?_?key|credential|authorization|cookie|kubeconfig/i;
/** A name, which may be quoted, and what is between it and its value: `password=x`, `"token": "x"`, `--psk x`. */
const NAME = /(?<![\w.-])([\w.-]+)(["']?\s*[=:]\s*|\s+)/g;
const VALUE = /"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&)}\]]+/y;
const FORMS: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [^-]*PRIVATE KEY-----[\s\S]*?(?:-----END [^-]*-----|$)/g, WITHHELD],
  [/(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*(?:@[^\s/@]*)*@/gi, '$1'],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, `$1 ${WITHHELD}`],
  // A token of JWT (RFC 7519).
  [/(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*/g, WITHHELD],
  // A key of WireGuard.
  [/(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=(?![A-Za-z0-9+/=])/g, WITHHELD],
];
/** A shorter value of the environment may be a word that occurs elsewhere. */
const VALUE_MIN = 6;

/**
 * A text of a log or a message without what looks like a secret: credentials in URLs, tokens, keys, values behind a name that
 * says so, and the values of such names in the environment.
 */
export function withoutSecrets(text: string, environment: Readonly<NodeJS.ProcessEnv> = {}): string {
  let clean = text;
  for (const [name, value = ''] of Object.entries(environment))
    if (value.length >= VALUE_MIN && SECRET_NAME.test(name)) clean = clean.replaceAll(value, WITHHELD);
  for (const [form, instead] of FORMS) clean = clean.replaceAll(form, instead);
  return withoutNamed(clean);
}

/** Withholds values behind names that say that they are secret. Takes time in proportion to the text. */
function withoutNamed(text: string): string {
  let clean = '';
  let done = 0;
  NAME.lastIndex = 0;
  for (let found = NAME.exec(text); found; found = NAME.exec(text)) {
    const [, name = '', between = ''] = found;
    const isNamed = /[=:]/.test(between) || name.startsWith('--');
    if (!isNamed || !SECRET_NAME.test(name)) continue;
    VALUE.lastIndex = NAME.lastIndex;
    if (!VALUE.test(text)) continue;
    clean += text.slice(done, NAME.lastIndex) + WITHHELD;
    done = VALUE.lastIndex;
    NAME.lastIndex = done;
  }
  return clean + text.slice(done);
}
