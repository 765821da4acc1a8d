/** The head of an HTTP/1.1 answer. */
export interface AnswerHead {
  readonly status: number;
  /** True if the server keeps the connection open. */
  readonly persistent: boolean;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;

/**
 * Reads the status line and the header fields of an answer (RFC 9112, sections 4 and 5).
 *
 * @param text everything before the empty line
 * @returns undefined if it is no such head, or repeats a field that may stand there only once
 */
export function parseAnswerHead(text: string): AnswerHead | undefined {
  const [first = '', ...lines] = text.split('\r\n');
  const match = STATUS_LINE.exec(first);
  if (match === null) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, field, value] = FIELD.exec(line) ?? [];
    if (field === undefined || value === undefined) return undefined;
    const name = field.toLowerCase();
    const before = headers.get(name);
    if (before !== undefined && SINGLE_FIELDS.has(name)) return undefined;
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const connection = (headers.get('connection') ?? '').toLowerCase();
  return { status: Number(match[2]), persistent: match[1] === '1' && !/\bclose\b/.test(connection), headers };
}

const SINGLE_FIELDS = new Set(['content-length', 'content-range', 'transfer-encoding']);
