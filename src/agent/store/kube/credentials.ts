import { createSecureContext } from 'node:tls';
import { describeError, messageOf, RipstopError } from '../../../base/errors.ts';

/** Credentials for the API server. Texts of PEM files, not paths. */
export interface Credentials {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecure?: boolean;
  /** Name in the server's certificate, where it is not the host of the URL. */
  readonly serverName?: string;
  readonly token?: string;
}

/** Reads the credentials as they are on disk now. @throws RipstopError ECONFIG */
export type ReadCredentials = () => Credentials;

/** Options of a TLS connection. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized: boolean;
}

/**
 * Finds what makes a connection impossible: a CA file without a certificate, a certificate and a key of different pairs, or
 * one of them alone. @throws RipstopError ECONFIG
 */
export function checkCredentials({ ca, cert, key }: Credentials, where: string): void {
  if (ca !== undefined && !ca.includes('-----BEGIN '))
    throw new RipstopError('ECONFIG', `${where}: the certificate authority is not a PEM certificate`);
  if (!cert !== !key)
    throw new RipstopError(
      'ECONFIG',
      `${where}: only one of client certificate and client key is given`,
      'give both or none',
    );
  try {
    createSecureContext({ ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) });
  } catch (error) {
    throw new RipstopError(
      'ECONFIG',
      `${where}: the client certificate cannot be used: ${messageOf(error)}`,
      'the key must be that of the certificate',
      { cause: error },
    );
  }
}

function tlsOptionsOf({ ca, cert, key, serverName, insecure }: Credentials): TlsOptions {
  return {
    ...(ca ? { ca } : {}),
    ...(cert && key ? { cert, key } : {}),
    ...(serverName ? { servername: serverName } : {}),
    rejectUnauthorized: !insecure,
  };
}

/**
 * The credentials of each request. The files are read for each one, because other programs rotate them. Files that are
 * unusable at the moment (a certificate without its new key yet) leave the former credentials in use.
 */
export class RotatingCredentials {
  readonly #read: ReadCredentials;
  readonly #rotated: () => void;
  #text: string | undefined;
  #usable: Credentials = {};
  #tls: TlsOptions = { rejectUnauthorized: true };
  /** Why the files cannot be used as they are; undefined when they can. */
  fault: string | undefined;

  /** @param rotated called when the TLS credentials have changed */
  constructor(read: ReadCredentials = () => ({}), rotated: () => void = () => {}) {
    this.#read = read;
    this.#rotated = rotated;
  }

  /** @throws RipstopError ESTORE when the credentials have never been usable */
  current(): { readonly tls: TlsOptions; readonly token: string | undefined } {
    try {
      this.#takeUp(this.#read());
      this.fault = undefined;
    } catch (error) {
      this.fault = describeError(error);
      // ECONFIG would be a fault of the network configuration.
      if (this.#text === undefined)
        throw new RipstopError('ESTORE', `credentials for the API server: ${this.fault}`);
    }
    return { tls: this.#tls, token: this.#usable.token };
  }

  #takeUp(fresh: Credentials): void {
    const tls = tlsOptionsOf(fresh);
    const text = JSON.stringify(tls);
    if (text !== this.#text) {
      checkCredentials(fresh, 'credentials');
      const isFirst = this.#text === undefined;
      this.#text = text;
      this.#tls = tls;
      if (!isFirst) this.#rotated();
    }
    this.#usable = fresh;
  }
}
