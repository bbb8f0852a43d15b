/** A URL for display, without user and password. A text that is not a URL loses all before its last `@`. */
export function withoutCredentials(text: string): string {
  if (!text.includes('@')) return text;
  const url = /^\w+:\/\//.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (!url) return text.replace(/^(.*?:\/\/)?.*@/s, '$1');
  url.username = '';
  url.password = '';
  return url.href;
}
