/**
 * What a terminal would not show but obey: C0 and C1 controls (so all escape sequences), DEL, and the marks that turn the
 * direction of text. Line breaks and tabs are listed apart.
 */
// eslint-disable-next-line no-control-regex -- controls are what this looks for
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const BREAKS = /[\n\t]/g;

/**
 * Makes text from strangers (names, errors of peers, what a model writes) safe to print: whatever a terminal would obey is written
 * as `\u{1b}`. Line breaks and tabs stay.
 */
export function printable(text: string): string {
  return text.replaceAll(OBEYED, escape);
}

/** As {@link printable}, for text that must stay on one line, such as a cell of a table. */
export function printableLine(text: string): string {
  return printable(text).replaceAll(BREAKS, escape);
}

/** JSON in which nothing is left that a terminal would obey. JSON.stringify escapes only C0 controls. */
export function printableJson(json: string): string {
  return json.replaceAll(
    OBEYED,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

function escape(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}
