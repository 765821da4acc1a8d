import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { ListenAddress } from '../../protocols/http/create-server.js';
import { CALYX_VERSION } from '../version.js';
import type { Operation } from './management-door.js';
import type { NfsConfig } from './nfs/serve-nfs.js';

/** The name of the operation. `describe` alone is that of the socket, which anybody may ask. */
export const DESCRIBE_STORE = 'store describe';

/** What a store that runs says of itself to those who may manage it. */
export const storeDescriptionSchema = z.object({
  /** Where clients of this machine reach it. */
  url: z.string(),
  /** What it listens on, as it was told: of `0.0.0.0`, a URL has only the loopback address. */
  host: z.string(),
  /** True if it speaks TLS and asks for tokens. */
  secured: z.boolean(),
  nfs: z
    .object({
      /** `HOST:PORT`. */
      address: z.object({ host: z.string(), port: z.number() }),
      /** As they were written. */
      allow: z.array(z.string()),
      privilegedPorts: z.boolean(),
      requireTls: z.boolean(),
      requireClientCertificate: z.boolean(),
    })
    .nullable(),
  version: z.string(),
  /** Milliseconds since 1970. */
  certificateNotAfter: z.number(),
});

export type StoreDescription = Readonly<z.infer<typeof storeDescriptionSchema>>;

/** How a store runs. */
export interface RunningSettings {
  readonly url: string;
  readonly host: string;
  readonly secured: boolean;
  readonly nfs: { readonly config: NfsConfig | undefined; readonly address: ListenAddress } | undefined;
  /** Of its server, PEM. */
  readonly certificate: string;
}

/** The operation by which a store describes how it listens and whom it lets in. */
export function describeOperation(settings: () => RunningSettings): Readonly<Record<string, Operation>> {
  return { [DESCRIBE_STORE]: () => Promise.resolve(describe(settings())) };
}

function describe({ url, host, secured, nfs, certificate }: RunningSettings): StoreDescription {
  return {
    url,
    host,
    secured,
    nfs:
      nfs?.config === undefined
        ? null
        : {
            address: nfs.address,
            allow: nfs.config.allow.map(({ text }) => text),
            privilegedPorts: nfs.config.privilegedPorts,
            requireTls: nfs.config.requireTls || nfs.config.requireClientCertificate,
            requireClientCertificate: nfs.config.requireClientCertificate,
          },
    version: CALYX_VERSION,
    certificateNotAfter: Date.parse(new X509Certificate(certificate).validTo),
  };
}
