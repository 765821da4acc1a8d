/** True if a value of a query or a form is one that the Hub's clients send for true. */
export function isTrue(value: string | null | undefined): boolean {
  return ['true', 'True', '1'].includes(value ?? '');
}

/** The values of a request's query. */
export function queryOf({ url }: { readonly url: string }): URLSearchParams {
  const at = url.indexOf('?');
  return new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
}
