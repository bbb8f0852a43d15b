/*
 * Messages of the D-Bus protocol (D-Bus specification, "Marshaling" and "BusMessage Format"), as far as calls with texts need them.
 */

/** A method of an object of another program on the bus. */
export interface Method {
  destination: string;
  path: string;
  interface: string;
  member: string;
}

/** A message that came: of a reply the text or flag at its beginning, of an error its name too. */
export interface BusMessage {
  type: number;
  /** Serial number of the call that this message answers. */
  replyTo: number | undefined;
  errorName: string | undefined;
  value: string | boolean | undefined;
}

const METHOD_CALL = 1;
export const ERROR = 3;

/** Codes of header fields. */
const FIELD = {
  PATH: 1,
  INTERFACE: 2,
  MEMBER: 3,
  ERROR_NAME: 4,
  REPLY_SERIAL: 5,
  DESTINATION: 6,
  SIGNATURE: 8,
} as const;

const FIXED_HEADER = 16;
const aligned = (offset: number, to: number) => Math.ceil(offset / to) * to;

class Writer {
  readonly #parts: Buffer[] = [];
  #length = 0;

  align(to: number): void {
    this.#push(Buffer.alloc(aligned(this.#length, to) - this.#length));
  }

  byte(value: number): void {
    this.#push(Buffer.of(value));
  }

  uint32(value: number): void {
    this.align(4);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.#push(bytes);
  }

  text(value: string): void {
    this.uint32(Buffer.byteLength(value));
    this.#push(Buffer.from(`${value}\0`));
  }

  signature(value: string): void {
    this.byte(value.length);
    this.#push(Buffer.from(`${value}\0`));
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  #push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

/** A call of a method whose arguments are texts. */
export function encodeCall(serial: number, method: Method, args: readonly string[]): Buffer {
  const body = new Writer();
  for (const arg of args) body.text(arg);
  const fields: [number, string, string][] = [
    [FIELD.PATH, 'o', method.path],
    [FIELD.INTERFACE, 's', method.interface],
    [FIELD.MEMBER, 's', method.member],
    [FIELD.DESTINATION, 's', method.destination],
  ];
  if (args.length > 0) fields.push([FIELD.SIGNATURE, 'g', 's'.repeat(args.length)]);
  // The first field begins at offset 16, so that alignments within the array are those within the message.
  const array = new Writer();
  for (const [code, type, value] of fields) {
    array.align(8);
    array.byte(code);
    array.signature(type);
    if (type === 'g') array.signature(value);
    else array.text(value);
  }
  const message = new Writer();
  for (const byte of ['l'.charCodeAt(0), METHOD_CALL, 0, 1]) message.byte(byte);
  message.uint32(body.bytes().length);
  message.uint32(serial);
  message.uint32(array.bytes().length);
  const header = Buffer.concat([message.bytes(), array.bytes()]);
  const padding = Buffer.alloc(aligned(header.length, 8) - header.length);
  return Buffer.concat([header, padding, body.bytes()]);
}

class Reader {
  readonly #bytes: Buffer;
  readonly #isLittle: boolean;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#isLittle = bytes[0] === 'l'.charCodeAt(0);
    this.at = at;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.at++);
  }

  uint32(): number {
    const at = aligned(this.at, 4);
    this.at = at + 4;
    return this.#isLittle ? this.#bytes.readUInt32LE(at) : this.#bytes.readUInt32BE(at);
  }

  text(): string {
    return this.#take(this.uint32());
  }

  signature(): string {
    return this.#take(this.byte());
  }

  /** A value of one of the types that occur in headers and in the answers of interest; undefined for another one. */
  value(type: string): string | number | boolean | undefined {
    if (type === 's' || type === 'o') return this.text();
    if (type === 'g') return this.signature();
    if (type === 'u') return this.uint32();
    if (type === 'b') return this.uint32() !== 0;
    return undefined;
  }

  /** A text and the zero byte behind it. */
  #take(length: number): string {
    const text = this.#bytes.toString('utf8', this.at, this.at + length);
    this.at += length + 1;
    return text;
  }
}

/** Length of the message that begins with these bytes; undefined while too few of them are there. */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_HEADER) return undefined;
  const bodyLength = new Reader(bytes, 4).uint32();
  const fieldsLength = new Reader(bytes, 12).uint32();
  return aligned(FIXED_HEADER + fieldsLength, 8) + bodyLength;
}

/** Reads a whole message. @throws RangeError for lengths that lead out of it */
export function decodeMessage(bytes: Buffer): BusMessage {
  const reader = new Reader(bytes, 12);
  const end = FIXED_HEADER + reader.uint32();
  const fields = new Map<number, unknown>();
  while (reader.at < end) {
    reader.at = aligned(reader.at, 8);
    const code = reader.byte();
    const value = reader.value(reader.signature());
    if (value === undefined) break;
    fields.set(code, value);
  }
  const signature = String(fields.get(FIELD.SIGNATURE) ?? '');
  const value = new Reader(bytes, aligned(end, 8)).value(signature.charAt(0));
  return {
    type: bytes.readUInt8(1),
    replyTo: fields.get(FIELD.REPLY_SERIAL) as number | undefined,
    errorName: fields.get(FIELD.ERROR_NAME) as string | undefined,
    value: typeof value === 'number' ? undefined : value,
  };
}
