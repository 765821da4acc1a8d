/**
 * True if a file's path has the form of `pattern`, as `hf download --include` means it: `*` stands for any characters, also `/`, `?` for one,
 * and a directory (`original/`) for all that is in it. Goes back only to the last `*`, so that no pattern takes more than the product of the
 * two lengths.
 */
export function matchesPath(pattern: string, path: string): boolean {
  const wanted = pattern.endsWith('/') ? `${pattern}*` : pattern;
  let at = 0;
  let star = -1;
  let starAt = 0;
  for (let index = 0; index < path.length;) {
    if (wanted[at] === '*') {
      star = at;
      starAt = index;
      at += 1;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === path[index])) {
      at += 1;
      index += 1;
    } else if (star >= 0) {
      // The last star stands for one character more.
      starAt += 1;
      index = starAt;
      at = star + 1;
    } else return false;
  }
  while (wanted[at] === '*') at += 1;
  return at === wanted.length;
}

/** Which files of a model are taken. */
export interface FilePatterns {
  /** At least one of these must match; all files if there are none. */
  readonly include?: readonly string[] | undefined;
  /** None of these may match. */
  readonly exclude?: readonly string[] | undefined;
}

/** The test for {@link FilePatterns}. */
export function fileFilter({ include = [], exclude = [] }: FilePatterns): (path: string) => boolean {
  return (path) =>
    (include.length === 0 || include.some((pattern) => matchesPath(pattern, path))) &&
    !exclude.some((pattern) => matchesPath(pattern, path));
}
