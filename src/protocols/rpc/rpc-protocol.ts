/** The version of RPC itself that we speak (RFC 5531, section 9). */
export const RPC_VERSION = 2;

export const MessageType = { CALL: 0, REPLY: 1 } as const;

export const ReplyStatus = { ACCEPTED: 0, DENIED: 1 } as const;

export const AcceptStatus = {
  SUCCESS: 0,
  PROG_UNAVAIL: 1,
  PROG_MISMATCH: 2,
  PROC_UNAVAIL: 3,
  GARBAGE_ARGS: 4,
  SYSTEM_ERR: 5,
} as const;

export const RejectStatus = { RPC_MISMATCH: 0, AUTH_ERROR: 1 } as const;

/** Why a caller was turned away; only those that we send. */
export const AuthStatus = { BADCRED: 1, REJECTEDCRED: 2, BADVERF: 3, TOOWEAK: 5 } as const;
export type AuthStatus = (typeof AuthStatus)[keyof typeof AuthStatus];

/** Flavors of authentication as IANA lists them. */
export const Flavor = { NONE: 0, SYS: 1, SHORT: 2, GSS: 6, TLS: 7 } as const;

/** The body of the verifier which says that TLS begins with the next byte (RFC 9289, section 4.1). */
export const STARTTLS = Buffer.from('STARTTLS', 'latin1');

/** The name of RPC among the protocols that TLS can carry (RFC 9289, section 8.2). */
export const TLS_PROTOCOL = 'sunrpc';

/** The body of a credential or verifier (RFC 5531, section 8.2). */
export const MAX_AUTH_BYTES = 400;

/** The procedure that every program has and that does nothing. */
export const NULL_PROCEDURE = 0;

/** The highest bit of a record mark: the fragment is the last of its record (RFC 5531, section 11). */
export const LAST_FRAGMENT = 0x8000_0000;

/** Bytes of a record mark. */
export const MARK_BYTES = 4;
