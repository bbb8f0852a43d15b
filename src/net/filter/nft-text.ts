import { fields } from './nft-condition.ts';

/** A rule of libnftables' JSON in words close to nft's language, for people. */
export function nftText(statements: readonly unknown[]): string {
  return statements
    .map(statementText)
    .filter(text => text !== '')
    .join(' ');
}

function statementText(raw: unknown): string {
  const statement = fields(raw);
  const [name] = Object.keys(statement ?? {});
  if (!statement || name === undefined) return '';
  const value = statement[name];
  const inner = fields(value);
  switch (name) {
    case 'counter':
      return '';
    case 'match': {
      const op = inner?.op === '==' || inner?.op === 'in' ? ' ' : ` ${inner?.op} `;
      return `${expressionText(inner?.left)}${op}${expressionText(inner?.right)}`;
    }
    case 'reject':
      return inner?.expr === undefined ? 'reject' : `reject with ${inner.type} ${inner.expr}`;
    case 'jump':
    case 'goto':
      return `${name} ${inner?.target}`;
    case 'vmap':
      return `${expressionText(inner?.key)} vmap ${expressionText(inner?.data)}`;
    case 'log':
      return 'log';
    default:
      return value === null ? name : `${name} ${expressionText(value)}`;
  }
}

function expressionText(value: unknown): string {
  if (Array.isArray(value)) return value.map(expressionText).join(',');
  const expression = fields(value);
  if (!expression) return String(value);
  const [name] = Object.keys(expression);
  if (name === undefined) return '';
  const inner = expression[name];
  const parts = fields(inner);
  switch (name) {
    case 'meta':
      return /^[io]if/.test(String(parts?.key)) ? String(parts?.key) : `meta ${parts?.key}`;
    case 'ct':
      return `ct ${parts?.key}`;
    case 'payload':
      return parts?.protocol === undefined ? 'payload' : `${parts.protocol} ${parts.field}`;
    case 'prefix':
      return `${parts?.addr}/${parts?.len}`;
    case 'range':
      return Array.isArray(inner) ? inner.map(expressionText).join('-') : '';
    case 'concat':
      return Array.isArray(inner) ? inner.map(expressionText).join(' . ') : '';
    case 'set':
      return `{ ${(Array.isArray(inner) ? inner : [inner]).map(elementText).join(', ')} }`;
    case '&':
      return Array.isArray(inner) ? inner.map(expressionText).join(' & ') : '';
    default:
      return `${name} ${expressionText(inner)}`;
  }
}

/** An element of a set, or `key : verdict` of a map. */
function elementText(element: unknown): string {
  if (!Array.isArray(element)) return expressionText(element);
  return `${expressionText(element[0])} : ${statementText(element[1])}`;
}
